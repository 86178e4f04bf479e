import { KhwError, toKhwError } from "../../proto/errors.ts";
import { controllersOf, openCluster, type OpenCluster } from "../cluster/open.ts";
import { clusterPki, workersOf } from "../config/cluster-pki.ts";
import type { ClusterConfig } from "../config/schema.ts";
import type { Context } from "../terminal/context.ts";
import { clusterFiles, renewableNames } from "../pki/cluster/create.ts";
import { readPresent, replaceFiles } from "../pki/cluster/folder.ts";
import { renewLeaves } from "../pki/cluster/renew.ts";
import type { PresentFiles } from "../pki/cluster/present.ts";
import { onControllers } from "../pki/cluster/rollable.ts";
import { describeCertificate } from "../pki/pem.ts";
import { completeFolder } from "../pki/folder.ts";
import { findPublicAddress } from "../rollout/addresses.ts";
import type { Prepared } from "../rollout/plan.ts";
import { openProgress, type Output } from "../progress/open.ts";
import { refuseChangedReleases } from "../release/unchanged.ts";
import { roll, type RollOptions } from "../rollout/rolling-update.ts";
import { refuseFindings } from "../cluster/combine-errors.ts";

export interface PkiRenewOptions {
  readonly output: Output;
  /** The certificates' names from the arguments. */
  readonly names: readonly string[];
  /** Whether to renew every certificate in the credentials folder that the cluster's CA signs. */
  readonly all: boolean;
  /** Whether to leave a failed node as it is, for inspection. */
  readonly noRollback: boolean;
}

/**
 * Reissues certificates with the CA in the credentials folder, and copies them to the nodes. Returns exit code 0, or
 * throws an error. After an error, the folder has the new files, and a bootstrap copies them to the other nodes.
 */
export async function pkiRenew(
  config: ClusterConfig,
  context: Context,
  { output, names, all, noRollback }: PkiRenewOptions,
): Promise<number> {
  const { signal } = context;
  const { aggregation } = config;
  const workers = workersOf(config.pki.workers);
  await completeFolder(config.credentials.folder);
  const known = { ...config.pki, workers, aggregation, separateEtcdCa: true };
  const present = await readPresent(config.credentials.folder, clusterFiles(known));
  const chosen = choose(
    renewableNames(known).filter((name) => present.has(`${name}.pem`)),
    { names, all },
  );
  const progress = await openProgress(output, context);
  await using cluster = await openCluster(config, signal);
  // Runs before the folder gets new files. `roll` checks again.
  await refuseChangedReleases(cluster, signal);
  const { files, kept } = await issueAnew(cluster, { present, chosen, signal });
  for (const [name, content] of Object.entries(files)) {
    if (name.endsWith(".pem") && !name.endsWith("-key.pem")) {
      progress.emit({ kind: "note", text: `${name} is reissued: ${describeCertificate(content)}` });
    }
  }
  progress.emit({ kind: "note", text: `the old files are kept in ${kept}` });
  const work = onControllers(files).length > 0 ? (await bring(cluster, { context, progress, noRollback })).work : [];
  const ownEtcd = work.some(({ desired }) => desired.etcd === undefined);
  for (const text of leftToDo(Object.keys(files), ownEtcd)) progress.emit({ kind: "note", text });
  return 0;
}

interface Wanted {
  readonly present: PresentFiles;
  readonly chosen: readonly string[];
  readonly signal: AbortSignal;
}

async function issueAnew(cluster: OpenCluster, { present, chosen, signal }: Wanted) {
  const { config } = cluster;
  const publicAddress = await findPublicAddress(cluster, { signal, mayCreateAddress: false });
  const pki = clusterPki(config, { controllers: controllersOf(cluster), publicAddress });
  refuseUnreachable(cluster);
  const now = new Date();
  const files = await renewLeaves(present, chosen, { pki, now });
  return { files, kept: await replaceFiles(config.credentials.folder, files, now) };
}

async function bring(cluster: OpenCluster, options: RollOptions): Promise<Prepared> {
  try {
    return await roll(cluster, options);
  } catch (thrown) {
    const { code, message, hint, node, step, cause } = toKhwError(thrown);
    const rest = "the folder has the new files; run khw-client bootstrap to copy them to the other nodes";
    throw new KhwError(code, message, {
      hint: hint === undefined ? rest : `${hint}; ${rest}`,
      node,
      step,
      cause,
    });
  }
}

/** Returns the tasks that khw leaves to the user. */
function leftToDo(files: readonly string[], ownEtcd: boolean): string[] {
  const has = (name: string): boolean => files.includes(name);
  const elsewhere = files.filter(
    (name) => name.endsWith(".kubeconfig") && !/^(admin|kube-(scheduler|controller-manager))\./.test(name),
  );
  return [
    ...(has("service-account.pem")
      ? ["service-account.pem keeps its key, so every token of the cluster stays valid"]
      : []),
    ...(has("etcd-server.pem") && ownEtcd
      ? ["khw does not manage etcd: replace its copies of etcd-server.pem and etcd-server-key.pem yourself"]
      : []),
    ...(has("kubernetes.pem") && ownEtcd
      ? [
          "khw does not manage etcd: replace its copies of kubernetes.pem and kubernetes-key.pem yourself (/etc/etcd in lab 07)",
        ]
      : []),
    ...(has("admin.pem") ? ["the admin's old key stays valid until its certificate expires"] : []),
    ...(elsewhere.length > 0 ? [`${elsewhere.join(", ")}: copy these files to the workers yourself`] : []),
  ];
}

/**
 * Returns the certificates in the folder that the arguments select.
 * @throws KhwError INVALID_ARGUMENT
 */
function choose(known: readonly string[], { names, all }: Pick<PkiRenewOptions, "names" | "all">): readonly string[] {
  if (all && names.length > 0) {
    throw new KhwError("INVALID_ARGUMENT", `pki renew: --all cannot be combined with names (${names.join(", ")})`, {
      hint: "use either --all or names",
    });
  }
  const chosen = all ? known : names;
  refuseUnknown(chosen, known);
  return chosen;
}

function refuseUnknown(chosen: readonly string[], known: readonly string[]): void {
  const hint = `use --all, or some of these names: ${known.join(", ")}`;
  if (chosen.length === 0) throw new KhwError("INVALID_ARGUMENT", "pki renew: no certificate given", { hint });
  const unknown = chosen.find((name) => !known.includes(name));
  if (unknown === undefined) return;
  if (unknown === "front-proxy-ca") {
    throw new KhwError("INVALID_ARGUMENT", "pki renew: front-proxy-ca is a CA, and pki renew reissues no CA", {
      hint: "to replace this CA, read docs/aggregation.md",
    });
  }
  if (unknown === "etcd-ca") {
    throw new KhwError("INVALID_ARGUMENT", "pki renew: etcd-ca is a CA, and pki renew reissues no CA", {
      hint: "to replace this CA, use khw-client pki rotate-etcd-ca; see docs/rotations.md",
    });
  }
  if (unknown === "ca" || unknown === "signing-ca") {
    throw new KhwError(
      "INVALID_ARGUMENT",
      `pki renew: ${unknown} is a CA; a new CA would invalidate every certificate that the old CA has signed`,
      {
        hint: `to replace this CA, use khw-client pki rotate-${unknown}; see docs/rotations.md`,
      },
    );
  }
  throw new KhwError("INVALID_ARGUMENT", `pki renew: the folder has no certificate ${unknown}.pem`, { hint });
}

/** A controller that cannot be reached would keep its old certificate, which may expire soon. */
function refuseUnreachable({ members }: OpenCluster): void {
  const errors = members.flatMap(({ error }) => error ?? []);
  refuseFindings(errors, "nothing was changed: every controller must answer");
}
