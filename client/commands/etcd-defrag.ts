import { KhwError } from "../../proto/errors.ts";
import type { EtcdMember } from "../../proto/gen/khw/agent/v1/etcd.ts";
import { refuse, show } from "../../proto/validate.ts";
import { openCluster, type Member } from "../cluster/open.ts";
import type { ClusterConfig } from "../config/schema.ts";
import type { Context } from "../terminal/context.ts";
import { etcdProblems, memberOf, type NodeEtcd, readEtcd } from "../etcd/overview.ts";
import { megabytes } from "../etcd/tables.ts";
import { openProgress, type Output } from "../progress/open.ts";
import { phase } from "../progress/phase.ts";
import { note, type Progress } from "../progress/progress.ts";
import type { AgentNode } from "../cluster/agent-client.ts";
import { concludeNodes, type NodeOutcome, oneByOne } from "../rollout/one-by-one.ts";

export interface DefragOptions {
  readonly output: Output;
  /**
   * The value of --threshold, as text. A member is defragmented if at least this percentage of its database is unused.
   */
  readonly threshold: string;
}

/** Ctrl-C does not stop work that has started; only the deadline of that work does. */
const never = new AbortController().signal;

/**
 * Defragments the members that have a lot of unused space, one at a time, with the leader last. A member is
 * defragmented only while all members are healthy. Returns exit code 0, or 130 if Ctrl-C stopped the command before the
 * last member; otherwise throws.
 */
export async function etcdDefrag(config: ClusterConfig, context: Context, options: DefragOptions): Promise<number> {
  const threshold = parseThreshold(options.threshold);
  await using cluster = await openCluster(config, context.signal, { greet: false });
  return await defragMembers(cluster.members, context, { ...options, threshold });
}

/** See etcdDefrag; the threshold is in percent. */
export async function defragMembers(
  members: readonly Member[],
  context: Context,
  { output, threshold }: Pick<DefragOptions, "output"> & { readonly threshold: number },
): Promise<number> {
  const { signal } = context;
  const due = leaderLast(refuseIll(members, await readEtcd(members, signal))).filter(
    ({ member }) => unused(member) >= threshold,
  );
  const progress = await openProgress(output, context);
  if (due.length === 0) note(progress, `no member has ${threshold} % or more unused space in its database`);
  progress.emit({ kind: "begin", tracks: due.map(({ node }) => node.address.name) });
  const outcomes = await oneByOne(due, {
    progress,
    signal,
    interrupted: (name) => `stopping after ${name}`,
    work: (item) => defragmentOne(item, members, progress),
  });
  await progress.settled();
  return concludeNodes(outcomes, { headline: "some members were not defragmented" }) ? 0 : 130;
}

/**
 * Defragments a member. The member serves no requests during defragmentation, so the other members must have a quorum.
 */
async function defragmentOne(
  { node, member }: Placed,
  members: readonly Member[],
  progress: Progress,
): Promise<NodeOutcome> {
  const track = node.address.name;
  refuseIll(members, await readEtcd(members, never));
  const summary = `${Math.round(unused(member))} % of ${megabytes(member.dbSize)} is unused`;
  await phase(
    { id: "defragment", summary },
    (event) => progress.emit({ kind: "step", track, event }),
    async (tell) => {
      const { sizeBefore, sizeAfter, durationMillis } = await node.etcd.defragment(never);
      tell(
        `the database shrank from ${megabytes(sizeBefore)} to ${megabytes(sizeAfter)} in ${(durationMillis / 1000).toFixed(1)} s`,
      );
    },
  );
  return { node, changed: 1 };
}

/** A node and its etcd member. */
interface Placed {
  readonly node: AgentNode;
  readonly member: EtcdMember;
}

/** A NOSPACE alarm is ignored, because defragmentation is its remedy. */
function refuseIll(members: readonly Member[], nodes: readonly NodeEtcd[]): Placed[] {
  const problems = etcdProblems(nodes).filter((problem) => !problem.includes("NOSPACE"));
  if (problems.length === 0) {
    return members.flatMap(({ node }, index) => {
      const etcd = nodes[index];
      const member = etcd === undefined ? undefined : memberOf(etcd);
      return member === undefined ? [] : { node, member };
    });
  }
  throw new KhwError("ETCD_UNHEALTHY", `not every etcd member is healthy: ${problems.join("; ")}`, {
    hint: "run `khw-client etcd status`; a member is defragmented only while all others are healthy",
  });
}

function leaderLast(nodes: readonly Placed[]): Placed[] {
  const leads = ({ member }: Placed): boolean => member.leaderId === member.memberId;
  return [...nodes.filter((node) => !leads(node)), ...nodes.filter(leads)];
}

/** Returns the unused share of the member's database, in percent. */
function unused({ dbSize, dbSizeInUse }: EtcdMember): number {
  return dbSize === 0 ? 0 : (100 * (dbSize - dbSizeInUse)) / dbSize;
}

function parseThreshold(text: string): number {
  const percent = Number(text);
  return text.trim() !== "" && percent >= 0 && percent <= 100
    ? percent
    : refuse("--threshold", `${show(text)} is not a percentage`, "use a number from 0 to 100; 0 means every member");
}
