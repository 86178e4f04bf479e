import type { KhwError } from "../../proto/errors.ts";
import type { AgentNode } from "../cluster/agent-client.ts";
import { isUnknownCall } from "../cluster/call-errors.ts";
import { combineErrors } from "../cluster/combine-errors.ts";
import { forEachNode, maxConcurrentNodes } from "../cluster/for-each-node.ts";
import type { NodeWork } from "../cluster/node-work.ts";
import type { OpenCluster } from "../cluster/open.ts";
import { note, type ProgressOptions } from "../progress/progress.ts";
import { joinPlaces } from "../terminal/group-lines.ts";
import { prepareNode } from "./apply-to-node.ts";
import { noMembership } from "./membership.ts";
import type { RolloutPlan } from "./plan.ts";
import { isUnderWay } from "./running-operations.ts";

type Downloads = Pick<RolloutPlan, "work" | "restarting"> & Partial<Pick<RolloutPlan, "membership">>;

/**
 * Downloads and verifies the programs on all nodes that will restart or join etcd, before any of these nodes is
 * changed. The other nodes download the programs while they apply the desired state. Returns as soon as the user
 * presses Ctrl-C, but the agents continue the downloads.
 * @throws KhwError if a node fails; in that case no node is drained or changed
 */
export async function downloadPrograms(
  { members, config: { timeouts } }: Pick<OpenCluster, "config" | "members">,
  { work, restarting, membership = noMembership }: Downloads,
  { progress, signal }: ProgressOptions,
): Promise<void> {
  const due = work.filter((item) => {
    const joins = membership.joining.includes(item.node.address.name);
    return (joins || restarting.has(item.node)) && !isUnderWay(item, members);
  });
  if (due.length === 0) return;
  progress.emit({ kind: "begin", tracks: due.map(({ node }) => node.address.name) });
  const download = async (node: AgentNode, item: NodeWork): Promise<KhwError | undefined> => {
    const { changed, error } = await prepareNode(item, { progress, signal, timeoutMillis: timeouts.node });
    const track = node.address.name;
    if (error !== undefined && isUnknownCall(error)) {
      progress.emit({ kind: "end", track, changed: 0, text: "its programs will be downloaded later" });
    } else progress.emit({ kind: "end", track, changed, error, text: "every program is ready" });
    return error;
  };
  const answers = await forEachNode(due, maxConcurrentNodes, download);
  await progress.settled();
  if (signal.aborted) return;
  const errors = answers.flatMap(({ value, error = value }) => error ?? []);
  noteOlderAgents(errors.filter(isUnknownCall), progress);
  refuse(errors.filter((error) => !isUnknownCall(error)));
}

function noteOlderAgents(errors: readonly KhwError[], progress: ProgressOptions["progress"]): void {
  if (errors.length === 0) return;
  const names = joinPlaces(errors.map(({ node = "?" }) => node));
  note(
    progress,
    `${names}: the agent is older than this client and downloads the new programs only after the node is drained`,
  );
}

function refuse(errors: readonly KhwError[]): void {
  const [first] = errors;
  if (first === undefined) return;
  throw combineErrors(errors, {
    code: first.code,
    headline: "no node was drained or changed, because not every node is ready for its new programs",
    hint: "fix this, then run the command again",
  });
}
