import type { Architecture } from "../../proto/components.ts";
import { publishedEtcdDigest } from "../../proto/etcd-versions.ts";
import type { WithEtcd } from "../../proto/desired.ts";
import { type Etcd, type EtcdProgram, etcdPrograms } from "../../proto/etcd.ts";
import { KhwError } from "../../proto/errors.ts";
import type { Step } from "../../proto/step.ts";
import { show } from "../../proto/validate.ts";
import type { Os } from "../os/os.ts";
import { etcdReleaseFolder, installedFolder, installedProgram } from "../paths.ts";
import { type PublishedDigest, sourceOf } from "./binary.ts";
import { fileDrift } from "./files.ts";
import { largestDownload } from "./largest-download.ts";

const mode = 0o755;

/**
 * Downloads the archive of the desired etcd release, and unpacks its programs into the release's folder.
 *
 * Only the digest of the archive is published. The digests of the programs are recorded when the archive is unpacked,
 * so that checks need neither the archive nor the network.
 */
export function etcdReleased(desired: WithEtcd): Step<Os> {
  const { etcd, binaries } = desired;
  const { version, mirrors } = etcd;
  const { proxy, caPem } = binaries;
  const folder = etcdReleaseFolder(version);

  return {
    id: "release/etcd",
    title: `etcd ${version} is downloaded`,
    needs: [`folder${folder}`],
    watches: [folder],
    check: async (os) => {
      const { files, architecture } = os;
      const record = await readRecord(version, os);
      const archive = record.get(archiveName(version, architecture));
      if (archive === undefined) return { summary: `${version} is not downloaded` };
      if (archive !== (pinnedDigest(etcd, architecture) ?? archive))
        return { summary: `its programs do not come from the published archive of ${version}` };
      for (const program of etcdPrograms(version)) {
        const wanted = { path: `${folder}/${program}`, mode, sha256: record.get(program) ?? "" };
        const summary = await fileDrift(files, wanted);
        if (summary !== null) return { summary: `${program}: ${summary}` };
      }
      return null;
    },
    apply: async (os, { signal, progress }) => {
      const { files, downloads, archives, architecture } = os;
      const name = archiveName(version, architecture);
      const source = { mirrors, proxy, caPem, signal };
      const digest = pinnedDigest(etcd, architecture) ?? (await publishedArchive(desired, { os, signal })).sha256;
      const [archive, unpacked] = [`${folder}/${name}`, `${folder}/.unpacked`];
      await files.mkdir(unpacked, 0o755);
      const file = { to: archive, sha256: digest, mostBytes: largestDownload.etcd, progress };
      await downloads.file({ ...source, path: `${version}/${name}`, ...file });
      progress("unpacking");
      const inside = name.replace(/\.tar\.gz$/, "");
      const members = etcdPrograms(version).map((program) => `${inside}/${program}`);
      await archives.extract({ archive, members, to: unpacked, signal });
      const lines = [`${digest}  ${name}`];
      for (const program of etcdPrograms(version)) {
        const fresh = `${unpacked}/${program}`;
        await files.chown(fresh, 0, 0);
        await files.chmod(fresh, mode);
        lines.push(`${(await files.sha256(fresh)) ?? ""}  ${program}`);
        await files.rename(fresh, `${folder}/${program}`);
      }
      await files.remove(archive);
      await files.remove(unpacked);
      // The record is written last, because the check passes as soon as the record exists. All leftovers of an
      // interrupted run must be removed before that.
      await files.write(sumsFile(version), `${lines.join("\n")}\n`, 0o644);
    },
  };
}

/**
 * Creates the program in /usr/local/bin as a hard link to the program in the desired release's folder. Both paths have
 * the same inode.
 */
export function etcdBinary(program: EtcdProgram, { etcd: { version } }: WithEtcd): Step<Os> {
  const path = installedProgram(program);
  const source = `${etcdReleaseFolder(version)}/${program}`;
  return {
    id: `binary/${program}`,
    title: `${program} ${version} is installed`,
    needs: ["release/etcd"],
    watches: [installedFolder],
    check: async (os) => {
      const digest = (await readRecord(version, os)).get(program);
      if (digest === undefined) return { summary: `${version} is not installed` };
      const summary = await fileDrift(os.files, { path, mode, sha256: digest });
      if (summary !== null) return { summary };
      const [own, its] = await Promise.all([os.files.stat(path), os.files.stat(source)]);
      const same = its === undefined || (own?.inode === its.inode && own.device === its.device);
      return same ? null : { summary: "is a copy, not a link to the release's file" };
    },
    apply: ({ files }) => files.link(source, path),
  };
}

/** Returns the archive's digest from the desired state, or else from khw's built-in list. */
function pinnedDigest({ version, sha256 }: Etcd, architecture: Architecture): string | undefined {
  return sha256[architecture] ?? publishedEtcdDigest(version, architecture);
}

/** Returns the archive's digest if it is known without asking a mirror. */
export async function knownArchive({ etcd }: WithEtcd, os: Os): Promise<string | undefined> {
  const { architecture } = os;
  const name = archiveName(etcd.version, architecture);
  return pinnedDigest(etcd, architecture) ?? (await readRecord(etcd.version, os)).get(name);
}

/** Asks the mirrors for the archive's digest. @throws KhwError DOWNLOAD_FAILED */
export async function publishedArchive(
  { etcd: { version, mirrors }, binaries: { proxy, caPem } }: WithEtcd,
  { os, signal }: { readonly os: Os; readonly signal: AbortSignal },
): Promise<PublishedDigest> {
  const name = archiveName(version, os.architecture);
  const path = `${version}/SHA256SUMS`;
  const { text, mirror } = await os.downloads.text({ mirrors, proxy, caPem, path, signal });
  return { sha256: archiveDigest(text, name, path), source: sourceOf(mirror, `${version}/${name}`) };
}

function archiveName(version: string, architecture: Architecture): string {
  return `etcd-${version}-linux-${architecture}.tar.gz`;
}

function sumsFile(version: string): string {
  return `${etcdReleaseFolder(version)}/SHA256SUMS`;
}

async function readRecord(version: string, { files }: Os): Promise<ReadonlyMap<string, string>> {
  return parseSums((await files.read(sumsFile(version)))?.toString("utf8") ?? "");
}

/** Parses the output of sha256sum into a map from file name to digest. */
function parseSums(text: string): ReadonlyMap<string, string> {
  const lines = [...text.matchAll(/^([0-9a-f]{64}) [ *](?:\.\/)?(\S+)$/gm)];
  return new Map(lines.map(([, digest = "", name = ""]) => [name, digest]));
}

function archiveDigest(text: string, name: string, path: string): string {
  const digest = parseSums(text).get(name);
  if (digest !== undefined) return digest;
  throw new KhwError("DOWNLOAD_FAILED", `${path} does not list ${name}: ${show(text)}`, {
    hint: "the mirror does not serve etcd releases at this path; check `etcd.mirrors`",
  });
}
