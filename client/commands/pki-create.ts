import { join } from "node:path";
import { clusterPki, workersOf } from "../config/cluster-pki.ts";
import { refuseKmsBefore } from "../config/encryption.ts";
import type { ClusterConfig } from "../config/schema.ts";
import type { Context } from "../terminal/context.ts";
import { type ClusterPki, clusterFiles, createMissing, parseLeafName, renewableNames } from "../pki/cluster/create.ts";
import { readPresent, replaceFiles, writeNew } from "../pki/cluster/folder.ts";
import { renewLeaves } from "../pki/cluster/renew.ts";
import { describeCertificate } from "../pki/pem.ts";
import { completeFolder, type NewFiles } from "../pki/folder.ts";
import type { Output } from "../progress/open.ts";
import { findAddresses } from "../rollout/addresses.ts";

export interface PkiCreateOptions {
  readonly output: Output;
  /** The names of the certificates to reissue; "all" means every certificate. */
  readonly renew: readonly string[];
}

/** Creates the labs' files that are missing, and reissues the named certificates. Returns exit code 0. */
export async function pkiCreate(
  config: ClusterConfig,
  { signal, write }: Context,
  { output, renew }: PkiCreateOptions,
): Promise<number> {
  const { folder } = config.credentials;
  const { aggregation } = config;
  const { version } = config.kubernetes;
  if (version !== undefined) refuseKmsBefore(config.encryption, version);
  const known = { workers: workersOf(config.pki.workers), aggregation };
  await completeFolder(folder);
  const separateEtcdCa = config.pki.separateEtcdCa || (await readPresent(folder, ["etcd-ca.pem"])).size > 0;
  const renewable = { ...known, separateEtcdCa };
  const wanted = renew.flatMap((name) => (name === "all" ? renewableNames(renewable) : parseLeafName(name, renewable)));
  const pki = { ...clusterPki(config, await findAddresses(config, signal)), separateEtcdCa };
  const now = new Date();
  const present = await readPresent(folder, clusterFiles(pki));
  const renewed = await renewLeaves(present, [...new Set(wanted)], { pki, now });
  const standing = new Map([...present, ...Object.entries(renewed)]);
  const made = await createMissing(standing, pki, now);
  if (Object.keys(made).length > 0) await writeNew(folder, made);
  const kept = Object.keys(renewed).length === 0 ? undefined : await replaceFiles(folder, renewed, now);

  const files = { ...made, ...renewed };
  if (output === "json") {
    const rows = Object.entries(files).map(([file, content]) => ({ file, what: describeFile(file, content) }));
    write(
      `${JSON.stringify({ folder, files: rows, replaced: kept ?? null, present: [...present.keys()] }, null, 2)}\n`,
    );
    return 0;
  }
  for (const [file, content] of Object.entries(files)) write(`${join(folder, file)}: ${describeFile(file, content)}\n`);
  for (const note of notes({ made, present: present.size, folder, kept, pki })) write(`note: ${note}\n`);
  return 0;
}

function describeFile(file: string, content: string): string {
  if (file.endsWith("-key.pem")) return "private key";
  if (file.endsWith(".pem")) return describeCertificate(content);
  if (!file.endsWith(".kubeconfig")) return "a new encryption key for etcd";
  return `kubeconfig for ${/^ +server: (.*)$/m.exec(content)?.[1] ?? "no server"}`;
}

interface Outcome {
  readonly made: NewFiles;
  readonly present: number;
  readonly folder: string;
  readonly kept: string | undefined;
  readonly pki: ClusterPki;
}

/** Returns the notes for the user. */
function notes({ made, present, folder, kept, pki }: Outcome): string[] {
  const has = (file: string): boolean => Object.hasOwn(made, file);
  const count = Object.keys(made).length;
  const secrets = ["ca.pem", "encryption-config.yaml", "service-account.pem"].filter(
    (file) => present > 0 && has(file),
  );
  return [
    ...(count === 0 && kept === undefined ? [`${folder} has all files`] : []),
    ...(kept === undefined
      ? []
      : [`the old files are in ${kept}; run khw-client bootstrap to copy the new files to the nodes`]),
    ...(secrets.length === 0
      ? []
      : [
          `${secrets.join(", ")}: newly created. A cluster that is already running needs its existing files instead; copy them from /var/lib/kubernetes on a controller`,
        ]),
    ...(present > 0 && has("front-proxy-client.pem")
      ? ["front-proxy-client.pem is new; run khw-client bootstrap to turn on the aggregation layer"]
      : []),
    ...(present > 0 && has("etcd-ca.pem")
      ? [
          "etcd-ca.pem is new. If the cluster is already running, move the etcd-*.pem files out of the folder, and run khw-client pki rotate-etcd-ca",
        ]
      : []),
    ...(has("ca-key.pem") && !pki.separateSigningCa
      ? [
          "ca-key.pem is copied to the controllers, as in lab 08, because the controller manager signs with it. --separate-signing-ca keeps it on this workstation",
        ]
      : []),
  ];
}
