import type { Program } from "../../proto/components.ts";
import type { DesiredState } from "../../proto/desired.ts";
import { KhwError } from "../../proto/errors.ts";
import type { Drift, Step } from "../../proto/step.ts";
import { show } from "../../proto/validate.ts";
import type { Os } from "../os/os.ts";
import { installedFolder, installedProgram, releasedProgram, releaseFolder } from "../paths.ts";
import { fileDrift } from "./files.ts";
import { largestDownload } from "./largest-download.ts";

const mode = 0o755;

/**
 * Downloads a program of the desired release into the release's folder, and verifies it against the published digest.
 *
 * Each release has its own folder, where the published digest is stored beside each program. Checks therefore need no
 * network, and a rollback only changes links.
 */
export function released(
  program: Program,
  desired: DesiredState,
  { needs, after = [] }: Pick<Step<Os>, "needs" | "after"> = { needs: [] },
): Step<Os> {
  const version = desired.kubernetesVersion;
  const installed = installedProgram(program);
  const path = releasedProgram(version, program);

  return {
    id: `release/${program}`,
    title: `${program} ${version} is downloaded`,
    needs: [`folder${releaseFolder(version)}`, ...needs],
    after,
    watches: [releaseFolder(version)],
    check: async (os) => {
      const digest = await knownDigest(program, desired, os);
      if (digest === undefined) return { summary: `${version} is not downloaded` };
      const differs = await drift(os, { path, version, sha256: digest });
      if (differs !== null) return differs;
      return (await recordedDigest(path, os)) === digest ? null : { summary: "its digest is not recorded" };
    },
    apply: async (os, { signal, progress }) => {
      const { files, downloads } = os;
      const source = { ...desired.binaries, path: pathOf(program, version, os), signal };
      const digest =
        (await knownDigest(program, desired, os)) ?? (await publishedDigest(program, desired, { os, signal })).sha256;
      const holds = async (name: string): Promise<boolean> =>
        (await files.stat(name))?.kind === "file" && (await files.sha256(name)) === digest;
      await files.mkdir(releaseFolder(version), 0o755);
      if (!(await holds(path))) {
        if (await holds(installed)) await files.link(installed, path);
        else {
          const mostBytes = largestDownload[program];
          await downloads.file({ ...source, to: path, sha256: digest, mostBytes, progress });
        }
      }
      // The digest is recorded, because a later desired state may not contain one if khw-client has lost its khw.lock.
      await files.write(digestFile(path), `${digest}\n`, 0o644);
      await files.chown(path, 0, 0);
      await files.chmod(path, mode);
    },
  };
}

/**
 * Creates the program in /usr/local/bin as a hard link to the program in the desired release's folder.
 *
 * Both paths have the same inode, so damage to the program affects both paths and is detected at both.
 */
export function binary(program: Program, desired: DesiredState, needs: readonly string[]): Step<Os> {
  const version = desired.kubernetesVersion;
  const path = installedProgram(program);
  const source = releasedProgram(version, program);
  return {
    id: `binary/${program}`,
    title: `${program} ${version} is installed`,
    needs,
    watches: [installedFolder],
    check: async (os) => {
      const digest = await knownDigest(program, desired, os);
      if (digest === undefined) return { summary: `${version} is not installed` };
      const differs = await drift(os, { path, version, sha256: digest });
      if (differs !== null) return differs;
      const [own, its] = await Promise.all([os.files.stat(path), os.files.stat(source)]);
      const same = its === undefined || (own?.inode === its.inode && own.device === its.device);
      return same ? null : { summary: "is a copy, not a link to the release's file" };
    },
    apply: ({ files }) => files.link(source, path),
  };
}

async function drift(
  { files }: Os,
  { path, version, sha256 }: { readonly path: string; readonly version: string; readonly sha256: string },
): Promise<Drift | null> {
  const summary = await fileDrift(files, { path, mode, sha256 });
  if (summary === null) return null;
  return {
    summary: summary === "its content differs" ? `its content differs from the published ${version}` : summary,
  };
}

function digestFile(path: string): string {
  return `${path}.sha256`;
}

/** Returns the digest if it is known without asking a mirror. An invalid record is ignored. */
export async function knownDigest(
  program: Program,
  { binaries, kubernetesVersion }: Pick<DesiredState, "binaries" | "kubernetesVersion">,
  os: Os,
): Promise<string | undefined> {
  return binaries.sha256[program] ?? recordedDigest(releasedProgram(kubernetesVersion, program), os);
}

/** Returns the digest in the file beside a program; undefined if the file is missing or invalid. */
async function recordedDigest(path: string, { files }: Os): Promise<string | undefined> {
  return digestIn((await files.read(digestFile(path)))?.toString("utf8") ?? "");
}

/** A digest, and the URL of the program on the mirror that publishes the digest. */
export interface PublishedDigest {
  readonly sha256: string;
  readonly source: string;
}

/** Asks the mirrors for the digest. @throws KhwError DOWNLOAD_FAILED */
export async function publishedDigest(
  program: Program,
  { binaries, kubernetesVersion }: DesiredState,
  { os, signal }: { readonly os: Os; readonly signal: AbortSignal },
): Promise<PublishedDigest> {
  const path = pathOf(program, kubernetesVersion, os);
  const { text, mirror } = await os.downloads.text({ ...binaries, path: `${path}.sha256`, signal });
  return { sha256: parsePublished(text, path), source: sourceOf(mirror, path) };
}

function pathOf(program: Program, version: string, { architecture }: Os): string {
  return `${version}/bin/linux/${architecture}/${program}`;
}

/** Returns the URL or the path of a file on a mirror. */
export function sourceOf(mirror: string, path: string): string {
  return `${mirror.replace(/\/+$/, "")}/${path}`;
}

/** Parses a release's .sha256 file, which contains the digest alone, or the digest and the file's name. */
function digestIn(text: string): string | undefined {
  return /^([0-9a-f]{64})(\s|$)/.exec(text.trim())?.[1];
}

function parsePublished(text: string, path: string): string {
  const digest = digestIn(text);
  if (digest !== undefined) return digest;
  throw new KhwError("DOWNLOAD_FAILED", `${path}.sha256 is not a digest: ${show(text)}`, {
    hint: "the mirror does not serve Kubernetes releases at this path; check `mirrors`",
  });
}
