import { resolve } from "node:path";
import { toKhwError } from "../../proto/errors.ts";
import { painter } from "../terminal/colour.ts";
import { labReleases } from "../config/releases.ts";
import type { ClusterConfig } from "../config/schema.ts";
import type { Context } from "../terminal/context.ts";
import { openFiles, readFolder } from "../pki/check/folder.ts";
import { checkOthers } from "../pki/check/others.ts";
import { collect, type Problem, formatProblem } from "../pki/check/problem.ts";
import { examineCredentials } from "../pki/check/read.ts";
import type { Output } from "../progress/open.ts";
import { type Addresses, findAddresses } from "../rollout/addresses.ts";

export interface PkiFolderOptions {
  readonly output: Output;
  /** The folder argument; if undefined, `credentials.folder` of khw.yaml. */
  readonly folder: string | undefined;
}

const findings = 2;

/**
 * Checks that the cluster's files meet all requirements of bootstrap, and also checks the other files in the folder.
 * Returns exit code 0 if there is no finding, otherwise 2.
 */
export async function pkiCheck(
  config: ClusterConfig,
  context: Context,
  { output, folder = config.credentials.folder }: PkiFolderOptions,
): Promise<number> {
  const credentials = { ...config.credentials, folder: resolve(folder) };
  const { files, problems: unreadable } = await readFolder(credentials.folder);
  const { addresses, unknown } = await addressesIfKnown(config, context.signal);
  const { problems } = await examineCredentials({ ...config, credentials }, addresses);
  const cluster = {
    ...addresses,
    serviceCidr: config.cluster.serviceCidr,
    kubernetesVersion: config.kubernetes.version ?? labReleases.kubernetes,
  };
  const others = collect(checkOthers(files, cluster, new Date())).problems;
  // Unreadable files that bootstrap needs are already among the problems.
  const stray = unreadable.filter(({ file }) => !problems.some((known) => known.file === file));
  const all = [...problems, ...others, ...stray, ...(await openFiles(credentials.folder, files.keys()))];
  const ranked = all.toSorted(
    (one, other) => Number(one.severity !== undefined) - Number(other.severity !== undefined),
  );
  const report: Report = { folder: credentials.folder, files: files.size, problems: ranked, notChecked: unknown };
  context.write(output === "json" ? `${JSON.stringify(toDocument(report), null, 2)}\n` : toText(report, context));
  return all.length === 0 ? 0 : findings;
}

interface Report {
  readonly folder: string;
  readonly files: number;
  readonly problems: readonly Problem[];
  /** The checks that were not possible, with the reasons. */
  readonly notChecked: string | undefined;
}

/** Returns the addresses that kubernetes.pem must have, as far as they are known on this workstation. */
async function addressesIfKnown(
  config: ClusterConfig,
  signal: AbortSignal,
): Promise<{ addresses: Addresses | { controllers: []; publicAddress: string | undefined }; unknown?: string }> {
  const { publicAddress } = config.cluster;
  const without = { controllers: [], publicAddress } as const;
  const what = "whether kubernetes.pem has the addresses of the controllers and the public address";
  if (config.nodes.length === 0)
    return { addresses: { ...without, controllers: [] }, unknown: `${what}: no nodes given` };
  try {
    return { addresses: await findAddresses(config, signal) };
  } catch (error) {
    return { addresses: { ...without, controllers: [] }, unknown: `${what}: ${toKhwError(error).message}` };
  }
}

function toDocument({ folder, files, problems, notChecked }: Report): Record<string, unknown> {
  const rows = problems.map(({ severity = "error", file, field = null, what, remedy }) => ({
    severity,
    file,
    field,
    what,
    remedy,
  }));
  return { folder, files, sound: problems.length === 0, findings: rows, notChecked: notChecked ?? null };
}

function toText({ folder, files, problems, notChecked }: Report, context: Context): string {
  const paint = painter(context);
  const lines = problems.map((problem) => {
    const label = problem.severity === undefined ? paint("red", "error  ") : paint("yellow", "warning");
    return `${label}  ${formatProblem(problem)}\n         remedy: ${problem.remedy}\n`;
  });
  const open = notChecked === undefined ? [] : [`${paint("yellow", "not run")}  ${notChecked}\n`];
  const count = problems.length === 1 ? "1 finding" : `${problems.length === 0 ? "no" : problems.length} findings`;
  return [...lines, ...open, `${folder}: ${files} files, ${count}\n`].join("");
}
