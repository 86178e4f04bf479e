import { programs } from "../../proto/components.ts";
import { type DesiredState, hasEtcd, type WithEtcd } from "../../proto/desired.ts";
import { KhwError } from "../../proto/errors.ts";
import type { ProgramDigest } from "../../proto/gen/khw/agent/v1/agent.ts";
import type { Os } from "../os/os.ts";
import { knownDigest, publishedDigest } from "../steps/binary.ts";
import { knownArchive, publishedArchive } from "../steps/etcd-release.ts";

export interface FoundDigests {
  readonly digests: readonly ProgramDigest[];
  /** Contains an error for each mirror that does not publish a digest or does not answer. */
  readonly findings: readonly KhwError[];
}

/**
 * Returns digests for the programs that have no digest in the desired state. Prefers the digests that this machine
 * recorded for the release; otherwise uses the digests that a mirror publishes. Changes nothing.
 */
export async function programDigests(desired: DesiredState, os: Os, signal: AbortSignal): Promise<FoundDigests> {
  const searches = [kubernetesDigests(desired, os, signal)];
  if (hasEtcd(desired)) searches.push(etcdDigest(desired, os, signal));
  const found = await Promise.allSettled(searches);
  signal.throwIfAborted();
  return {
    digests: found.flatMap((result) => (result.status === "fulfilled" ? result.value : [])),
    findings: found.flatMap((result) => (result.status === "rejected" ? toFinding(result.reason, os) : [])),
  };
}

async function kubernetesDigests(desired: DesiredState, os: Os, signal: AbortSignal): Promise<ProgramDigest[]> {
  const version = desired.kubernetesVersion;
  const open = programs.filter((program) => desired.binaries.sha256[program] === undefined);
  return Promise.all(
    open.map(async (program) => {
      const known = await knownDigest(program, desired, os);
      const { sha256, source } =
        known === undefined ? await publishedDigest(program, desired, { os, signal }) : onMachine(known);
      return { program, version, architecture: os.architecture, sha256, source };
    }),
  );
}

async function etcdDigest(desired: WithEtcd, os: Os, signal: AbortSignal): Promise<ProgramDigest[]> {
  const { architecture } = os;
  const { version, sha256: pinned } = desired.etcd;
  if (pinned[architecture] !== undefined) return [];
  const known = await knownArchive(desired, os);
  const { sha256, source } = known === undefined ? await publishedArchive(desired, { os, signal }) : onMachine(known);
  return [{ program: "etcd", version, architecture, sha256, source }];
}

function onMachine(sha256: string): { readonly sha256: string; readonly source: string } {
  return { sha256, source: "" };
}

function toFinding(reason: unknown, { identity }: Os): KhwError {
  if (!(reason instanceof KhwError)) throw reason;
  return reason.at({ node: identity.name, step: "preflight" });
}
