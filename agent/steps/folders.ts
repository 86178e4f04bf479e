import { dirname, resolve } from "node:path";
import { type DesiredState, hasEtcd } from "../../proto/desired.ts";
import type { Step } from "../../proto/step.ts";
import type { FileFacts, Files } from "../os/files.ts";
import type { Os } from "../os/os.ts";
import {
  configFolder,
  credentialFile,
  etcdFolder,
  etcdReleaseFolder,
  etcdReleasesFolder,
  installedFolder,
  khwFolder,
  kubernetesEtcFolder,
  kubernetesFolder,
  nginxLink,
  nginxSite,
  pkiFolder,
  releaseFolder,
  releasesFolder,
  snapshotsFolder,
  stateFolder,
  wantsFolder,
} from "../paths.ts";
import { octal } from "./files.ts";

/** Returns the folders for the programs of the desired state, outermost first. */
export function releaseFolders(desired: DesiredState): string[] {
  const { kubernetesVersion } = desired;
  const kubernetes = [khwFolder, releasesFolder, releaseFolder(kubernetesVersion)];
  return hasEtcd(desired) ? [...kubernetes, etcdReleasesFolder, etcdReleaseFolder(desired.etcd.version)] : kubernetes;
}

/** The agent's own folders, which the package or the agent itself creates. */
export const agentFolders = [pkiFolder, stateFolder, snapshotsFolder];

/** Files that khw puts directly into shared system folders. */
const written = [
  configFolder,
  credentialFile("ca.pem"),
  `${etcdFolder}/ca.pem`,
  `${khwFolder}/kubernetes`,
  `${installedFolder}/kubectl`,
  `${wantsFolder}/kube-apiserver.service`,
  nginxSite,
  nginxLink,
  `${stateFolder}/target`,
  `${pkiFolder}/agent.pem`,
];

/** Folders that khw creates. Each of these folders has its own step, which repairs the folder. */
const made: ReadonlySet<string> = new Set([
  kubernetesEtcFolder,
  configFolder,
  kubernetesFolder,
  etcdFolder,
  khwFolder,
  kubernetesEtcFolder,
  pkiFolder,
  stateFolder,
]);

/**
 * Checks that only root can add or remove files in the system folders above khw's own folders. Drift is only reported,
 * not repaired, because other programs may depend on it.
 */
export function systemFolders(): Step<Os> {
  return {
    id: "folders/system",
    title: "only root can write to the system folders above khw's files",
    needs: ["identity"],
    check: async ({ files }) => {
      const open = await openFolders(files);
      if (open.length === 0) return null;
      return {
        summary: open.map(({ path, why }) => `${path}: ${why}`).join("; "),
        remedy: `on the node: ${open.map(({ repair, path }) => `${repair} ${path}`).join("; ")}`,
      };
    },
    apply: async () => {},
  };
}

interface OpenFolder {
  readonly path: string;
  readonly why: string;
  readonly repair: string;
}

async function openFolders(files: Pick<Files, "stat">): Promise<OpenFolder[]> {
  const found: OpenFolder[] = [];
  const folders = new Set(written.flatMap((path) => above(path)));
  // Iterating over a set includes entries that are added during the iteration. If a path is a link, the loop adds the
  // link's target and the folders above the target.
  for (const path of folders) {
    if (made.has(path)) continue;
    const facts = await files.stat(path);
    if (facts?.target !== undefined) {
      const target = resolve(dirname(path), facts.target);
      for (const folder of [target, ...above(target)]) folders.add(folder);
    } else if (facts?.kind === "directory") {
      const open = openness(path, facts);
      if (open !== null) found.push({ path, ...open });
    }
  }
  return found;
}

/** Returns null if only root can write to the folder. */
function openness(path: string, { uid, gid, mode }: FileFacts): Omit<OpenFolder, "path"> | null {
  if (uid !== 0) return { why: `it belongs to user ${uid}, not to root`, repair: "chown root" };
  if ((mode & 0o002) !== 0) return { why: `anybody can write to it (its mode is ${octal(mode)})`, repair: "chmod o-w" };
  if ((mode & 0o020) === 0 || gid === 0 || isStaff(path, gid)) return null;
  return { why: `group ${gid} can write to it (its mode is ${octal(mode)})`, repair: "chmod g-w" };
}

/**
 * On machines installed before 2018, /usr/local belongs to the group staff, as Debian policy required at that time.
 */
function isStaff(path: string, gid: number): boolean {
  return gid === 50 && path.startsWith("/usr/local");
}

/** Returns the folders above a path, nearest first. */
function above(path: string): string[] {
  const parent = dirname(path);
  return parent === path ? [] : [parent, ...above(parent)];
}
