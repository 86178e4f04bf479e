import { type Architecture, architectures } from "../../proto/components.ts";
import { KhwError } from "../../proto/errors.ts";
import type { ProgramDigest } from "../../proto/gen/khw/agent/v1/agent.ts";
import { parseSha256, show } from "../../proto/validate.ts";
import type { AgentNode } from "../cluster/agent-client.ts";
import type { OpenCluster } from "../cluster/open.ts";
import { note, type Progress } from "../progress/progress.ts";
import type { NodeWork } from "../cluster/node-work.ts";
import { describeProgram, isSource, type LockEntry } from "./entries.ts";
import { addToLock, readLock } from "./file.ts";
import { downloadsOf, pinState } from "./pins.ts";
import { refusePlainMirrors } from "./plain-mirrors.ts";

/** The digests that an agent reported for programs that have no configured digest. */
export interface NodeDigests {
  readonly node: AgentNode;
  readonly programs: readonly ProgramDigest[];
}

/**
 * Returns the nodes' work with the digests from khw.lock added to the desired states.
 * @throws KhwError CONFIG_INVALID if khw.lock cannot be trusted or contradicts khw.yaml, or if a program without a
 * digest would be downloaded over http
 */
export async function pinPrograms(
  { config: { lockFile: path }, members }: Pick<OpenCluster, "config" | "members">,
  work: readonly NodeWork[],
): Promise<NodeWork[]> {
  const entries = await readLock(path);
  const pinned = work.map((item) => {
    const arch = architectureOf(item.node, members);
    return { arch, item: { ...item, desired: pinState(item.desired, arch, { entries, path }) } };
  });
  refusePlainMirrors(pinned.flatMap(({ item: { desired }, arch }) => downloadsOf(desired, arch)));
  return pinned.map(({ item }) => item);
}

/**
 * Records the agents' digests in khw.lock, and returns the work with a digest for each program. All nodes must report
 * the same digests.
 * @throws KhwError DIGEST_MISMATCH with both digests, INVALID_RESPONSE
 */
export async function lockPrograms(
  { config: { lockFile: path }, members }: Pick<OpenCluster, "config" | "members">,
  work: readonly NodeWork[],
  { reported, progress }: { readonly reported: readonly NodeDigests[]; readonly progress: Progress },
): Promise<NodeWork[]> {
  const found = work.map((item) => {
    const arch = architectureOf(item.node, members);
    const programs = reported.find((answer) => answer.node === item.node)?.programs ?? [];
    return { item, arch, entries: openEntries(item, arch, programs) };
  });
  const entries = agreed(found.map(({ item, entries: own }) => ({ name: item.node.address.name, entries: own })));
  const added = await addToLock(path, entries);
  if (added.length > 0)
    note(
      progress,
      `${path}: recorded the digests of ${added.length} programs; commit this file together with khw.yaml`,
    );
  return found.map(({ item, arch }) => ({ ...item, desired: pinState(item.desired, arch, { entries, path }) }));
}

/** Returns the entries that the node reported for programs that have no digest in the desired state. */
function openEntries({ node, desired }: NodeWork, arch: Architecture, programs: readonly ProgramDigest[]): LockEntry[] {
  const { name } = node.address;
  return downloadsOf(desired, arch)
    .filter(({ sha256 }) => sha256 === undefined)
    .map(({ program, version }) => {
      const answer = programs.find(
        (item) => item.program === program && item.version === version && item.architecture === arch,
      );
      if (answer === undefined) {
        throw new KhwError("INVALID_RESPONSE", `reports no digest for ${describeProgram({ program, version, arch })}`, {
          node: name,
          hint: "on the node, install the agent version that matches this khw-client, then run the command again",
        });
      }
      const sha256 = parseReported(answer.sha256, name);
      const source = parseSource(answer.source, name);
      return { program, version, arch, sha256, source, signatures: [] };
    });
}

function parseReported(sha256: string, node: string): string {
  try {
    return parseSha256("sha256", sha256);
  } catch (cause) {
    throw new KhwError("INVALID_RESPONSE", `reports ${show(sha256)} as a digest`, { node, cause });
  }
}

function parseSource(source: string, node: string): string {
  if (source === "") return `already on ${node}`;
  if (isSource(source)) return source;
  throw new KhwError("INVALID_RESPONSE", `reports ${show(source)} as the source of a program`, { node });
}

interface Reported {
  readonly name: string;
  readonly entries: readonly LockEntry[];
}

/** Returns an entry for each program. @throws KhwError DIGEST_MISMATCH if two nodes report different digests */
function agreed(nodes: readonly Reported[]): LockEntry[] {
  const all = nodes.flatMap(({ name, entries }) => entries.map((entry) => ({ name, entry })));
  const groups = [...Map.groupBy(all, ({ entry }) => describeProgram(entry))];
  return groups.flatMap(([program, group]) => {
    const digests = [...Map.groupBy(group, ({ entry }) => entry.sha256)];
    if (digests.length > 1) throw disagreement(program, digests);
    // A URL is a better source than "already on NODE".
    const published = group.find(({ entry, name }) => entry.source !== `already on ${name}`);
    return (published ?? group[0])?.entry ?? [];
  });
}

type Holders = readonly { readonly name: string; readonly entry: LockEntry }[];

function disagreement(program: string, digests: readonly (readonly [string, Holders])[]): KhwError {
  const said = digests.map(([sha256, holders]) => {
    const names = holders.map(({ name }) => name).join(", ");
    return `${sha256} for ${names} (${holders[0]?.entry.source ?? ""})`;
  });
  return new KhwError(
    "DIGEST_MISMATCH",
    `${program}: the controllers report different SHA-256 digests: ${said.join("; ")}`,
    {
      hint: "nothing was changed; check which digest the release published, and set it in khw.yaml: kubernetes.sha256 or etcd.sha256",
    },
  );
}

function architectureOf(node: AgentNode, members: OpenCluster["members"]): Architecture {
  const said = members.find((member) => member.node === node)?.info?.architecture ?? "";
  const known = architectures.find((architecture) => architecture === said);
  if (known !== undefined) return known;
  throw new KhwError("INVALID_RESPONSE", `its architecture is ${show(said)}`, {
    node: node.address.name,
    hint: `khw installs programs only for ${architectures.join(" and ")}`,
  });
}
