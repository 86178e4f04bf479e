import { dirname } from "node:path";
import { configFile } from "../../proto/config-files.ts";
import type { Program } from "../../proto/components.ts";
import type { EtcdProgram } from "../../proto/etcd.ts";
import type { Step } from "../../proto/step.ts";
import type { FileFacts, Files } from "../os/files.ts";
import type { Os } from "../os/os.ts";
import { readConfigFileNames } from "../steps/config-files.ts";
import { readOptionalCredentials } from "../steps/unused-credentials.ts";
import {
  auditLogFile,
  credentialFile,
  etcdReleaseFolder,
  etcdReleasesFolder,
  installedProgram,
  logFolder,
  releasedProgram,
  releasesFolder,
} from "../paths.ts";

/** Removes these files and links. */
export function absentFiles(id: string, paths: readonly string[], needs: readonly string[]): Step<Os> {
  return {
    id,
    title: `the files of ${id} are removed`,
    needs,
    check: async ({ files }) => found(await existing(files, paths)),
    apply: async ({ files }) => {
      for (const path of paths) await files.remove(path);
    },
  };
}

/**
 * Removes the optional credentials and configuration files that khw has written. Only some clusters have these files.
 */
export function absentOptionalFiles(needs: readonly string[]): Step<Os> {
  const paths = async (files: Files): Promise<string[]> => [
    ...(await readOptionalCredentials(files)).map(credentialFile),
    ...(await readConfigFileNames(files)).map(configFile),
  ];
  return {
    id: "optional-files",
    title: "the optional credentials and configuration files are removed",
    needs,
    check: async ({ files }) => found(await existing(files, await paths(files))),
    apply: async ({ files }) => {
      for (const path of await paths(files)) await files.remove(path);
    },
  };
}

/** Removes a khw folder and its contents. */
export function absentTree(path: string, needs: readonly string[]): Step<Os> {
  return {
    id: `folder${path}`,
    title: `${path} is removed`,
    needs,
    check: async ({ files }) => found(await existing(files, [path])),
    apply: ({ largeFiles }) => largeFiles.removeTree(path),
  };
}

/** Removes a folder that khw has created, unless the folder contains files or is a mount point. */
export function emptyFolder(path: string, needs: readonly string[]): Step<Os> {
  return {
    id: `folder${path}`,
    title: `${path} is removed if it is empty`,
    needs,
    check: async ({ files }) => ((await isRemovable(files, path)) ? { summary: "it is empty" } : null),
    apply: ({ files }) => files.remove(path),
  };
}

export async function isRemovable(files: Pick<Files, "stat" | "list">, path: string): Promise<boolean> {
  const [own, parent] = await Promise.all([files.stat(path), files.stat(dirname(path))]);
  if (own?.kind !== "directory" || own.device !== parent?.device) return false;
  return (await files.list(path)).length === 0;
}

/**
 * Removes programs from /usr/local/bin if they belong to a release that khw has downloaded. Other programs with the
 * same names stay.
 */
export function absentInstalled(names: readonly (Program | EtcdProgram)[], needs: readonly string[]): Step<Os> {
  const own = async (files: Files): Promise<string[]> => {
    const paths = await Promise.all(
      names.map(async (name) => ((await isReleased(files, name)) ? [installedProgram(name)] : [])),
    );
    return paths.flat();
  };
  return {
    id: "programs",
    title: "the programs that khw has installed are removed",
    needs,
    check: async ({ files }) => found(await own(files)),
    apply: async ({ files }) => {
      for (const path of await own(files)) await files.remove(path);
    },
  };
}

async function isReleased(files: Files, name: Program | EtcdProgram): Promise<boolean> {
  const path = installedProgram(name);
  const facts = await files.stat(path);
  if (facts === undefined) return false;
  const [kubernetes, etcd] = await Promise.all([files.list(releasesFolder), files.list(etcdReleasesFolder)]);
  const releases = [
    // No Kubernetes program has the same name as an etcd program, so the paths of at most one list exist.
    ...kubernetes.map((version) => `${dirname(releasedProgram(version, "kubectl"))}/${name}`),
    ...etcd.map((version) => `${etcdReleaseFolder(version)}/${name}`),
  ];
  for (const release of releases) if (await isSame(files, { path, facts }, release)) return true;
  return false;
}

/** Whether the files are hard links to each other, or have the same content. */
async function isSame(
  files: Files,
  { path, facts }: { readonly path: string; readonly facts: FileFacts },
  release: string,
): Promise<boolean> {
  const other = await files.stat(release);
  if (other?.kind !== "file") return false;
  if (other.inode === facts.inode && other.device === facts.device) return true;
  return facts.kind === "file" && (await files.sha256(path)) === (await files.sha256(release));
}

/** Removes the plugin folders that kube-controller-manager has created, if these folders contain no plugin. */
export function noPluginFolders(path: string, needs: readonly string[]): Step<Os> {
  return {
    id: `folder${path}`,
    title: `${path} is removed if it contains no file`,
    needs,
    check: async ({ files }) =>
      (await files.stat(path))?.kind === "directory" && !(await hasFiles(files, path))
        ? { summary: "it contains no file" }
        : null,
    apply: ({ outside }, { signal }) => outside.removeEmptyFolders(path, signal),
  };
}

/** Whether the folder or one of its subfolders contains anything but folders. */
export async function hasFiles(files: Files, path: string): Promise<boolean> {
  for (const name of await files.list(path)) {
    const entry = `${path}/${name}`;
    if ((await files.stat(entry))?.kind !== "directory" || (await hasFiles(files, entry))) return true;
  }
  return false;
}

/** Removes the API server's audit log, including rotated files. A log at another path stays. */
export function absentLogs(needs: readonly string[]): Step<Os> {
  const logs = async (files: Files): Promise<string[]> =>
    (await files.list(logFolder))
      .map((name) => `${logFolder}/${name}`)
      .filter((path) => path === auditLogFile || olderLog.test(path));
  return {
    id: "logs",
    title: "the API server's logs are removed",
    needs,
    check: async ({ files }) => found(await logs(files)),
    apply: async ({ files, outside }, { signal }) => outside.removeFiles(await logs(files), signal),
  };
}

/** Matches the names that the API server gives to its older log files. */
const olderLog = /\/audit-\d{4}-\d{2}-\d{2}T\d{2}-\d{2}-\d{2}\.\d{3}\.log$/;

async function existing(files: Pick<Files, "stat">, paths: readonly string[]): Promise<string[]> {
  const facts = await Promise.all(paths.map((path) => files.stat(path)));
  return paths.filter((_, index) => facts[index] !== undefined);
}

function found(paths: readonly string[]): { readonly summary: string } | null {
  return paths.length === 0 ? null : { summary: `${paths.join(", ")} must be removed` };
}
