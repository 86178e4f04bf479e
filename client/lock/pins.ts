import { type Architecture, architectures, programs } from "../../proto/components.ts";
import { KhwError } from "../../proto/errors.ts";
import { publishedEtcdDigest } from "../../proto/etcd-versions.ts";
import type { DesiredState } from "../../proto/gen/khw/agent/v1/agent.ts";
import { describeProgram, type LockEntry } from "./entries.ts";
import { findEntry } from "./file.ts";

/** A program that a controller downloads, and its digest if known. */
export interface Download {
  readonly program: string;
  readonly version: string;
  readonly arch: Architecture;
  readonly sha256: string | undefined;
  readonly mirrors: readonly string[];
  /** The names of the settings for the mirrors and for the digest. */
  readonly settings: { readonly mirrors: string; readonly sha256: string };
}

/** Returns everything that a controller of this architecture downloads for this desired state. */
export function downloadsOf(
  { kubernetesVersion: version, binaries, etcd }: DesiredState,
  arch: Architecture,
): Download[] {
  const { mirrors = [], sha256 = {} } = binaries ?? {};
  const kubernetes = programs.map((program): Download => {
    const settings = { mirrors: "kubernetes.mirrors", sha256: `kubernetes.sha256.${program}` };
    return { program, version, arch, sha256: sha256[program], mirrors, settings };
  });
  if (etcd === undefined) return kubernetes;
  const settings = { mirrors: "etcd.mirrors", sha256: `etcd.sha256.${arch}` };
  const archive = { version: etcd.version, arch, sha256: etcd.sha256[arch], mirrors: etcd.mirrors, settings };
  return [...kubernetes, { program: "etcd", ...archive }];
}

/**
 * Returns the desired state. If a program has no digest in khw.yaml, its digest comes from the entries.
 * @throws KhwError CONFIG_INVALID if khw.yaml or khw's own list has a digest that differs from the digest in an entry
 */
export function pinState(
  state: DesiredState,
  arch: Architecture,
  { entries, path }: { readonly entries: readonly LockEntry[]; readonly path: string },
): DesiredState {
  const digests = new Map<string, string>();
  for (const download of downloadsOf(state, arch)) {
    const { program, version, sha256: given, settings } = download;
    const locked = findEntry(entries, download);
    if (locked !== undefined && given !== undefined && locked.sha256 !== given) {
      throw contradiction({ entry: locked, path, other: `khw.yaml (${settings.sha256}) has ${given}` });
    }
    const published = program === "etcd" ? publishedEtcdDigest(version, arch) : undefined;
    if (locked !== undefined && given === undefined && published !== undefined && locked.sha256 !== published) {
      throw contradiction({ entry: locked, path, other: `khw's own list has ${published}` });
    }
    const digest = given ?? locked?.sha256;
    if (digest !== undefined) digests.set(program, digest);
  }
  return withDigests(state, arch, digests);
}

/** The digests are sorted, because the operation's id is derived from the desired state's bytes. */
function withDigests(state: DesiredState, arch: Architecture, digests: ReadonlyMap<string, string>): DesiredState {
  const { binaries, etcd } = state;
  const own = digests.get("etcd");
  return {
    ...state,
    binaries: binaries === undefined ? undefined : { ...binaries, sha256: pick(programs, (name) => digests.get(name)) },
    etcd:
      etcd === undefined
        ? undefined
        : { ...etcd, sha256: pick(architectures, (name) => (name === arch ? own : etcd.sha256[name])) },
  };
}

function pick(names: readonly string[], digest: (name: string) => string | undefined): Record<string, string> {
  return Object.fromEntries(
    names.flatMap((name) => {
      const found = digest(name);
      return found === undefined ? [] : [[name, found]];
    }),
  );
}

interface Contradiction {
  readonly entry: LockEntry;
  readonly path: string;
  readonly other: string;
}

function contradiction({ entry, path, other }: Contradiction): KhwError {
  return new KhwError("CONFIG_INVALID", `${describeProgram(entry)}: ${other}, but ${path} has ${entry.sha256}`, {
    hint: `check which of the two digests the release published; remove the wrong digest from khw.yaml, or the whole wrong entry from ${path}`,
  });
}
