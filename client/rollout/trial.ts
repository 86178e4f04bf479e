import { fromDetail, type KhwError } from "../../proto/errors.ts";
import { isUnknownCall } from "../cluster/call-errors.ts";
import { refuseFindings } from "../cluster/combine-errors.ts";
import { forEachNode, maxConcurrentNodes } from "../cluster/for-each-node.ts";
import { withoutContent } from "../config/desired.ts";
import { note, type ProgressOptions } from "../progress/progress.ts";
import type { NodeWork } from "../cluster/node-work.ts";
import { describeWarnings } from "./warnings.ts";

/** The results of the trial runs on all nodes. */
export interface TrialResults {
  readonly findings: readonly KhwError[];
  readonly warnings: readonly KhwError[];
}

/**
 * Has the downloaded programs on these nodes parse their own command lines. An agent that does not know the call is
 * skipped.
 */
export async function readTrials(work: readonly NodeWork[], signal: AbortSignal): Promise<TrialResults> {
  const answers = await forEachNode(work, maxConcurrentNodes, (node, { desired }) =>
    node.tryPrograms(withoutContent(desired), signal),
  );
  signal.throwIfAborted();
  return {
    findings: answers.flatMap(({ name, value, error }) => {
      if (error !== undefined) return isUnknownCall(error) ? [] : [error];
      return (value?.findings ?? []).map((detail) => fromDetail(detail).at({ node: name }));
    }),
    warnings: answers.flatMap(({ name, value }) =>
      (value?.warnings ?? []).map((detail) => fromDetail(detail).at({ node: name })),
    ),
  };
}

/**
 * Runs before any node is drained. Rejects flags, feature gates and configuration that a new program does not accept.
 * Prints the programs' own warnings.
 * @throws KhwError that combines the rejections from all nodes
 */
export async function tryPrograms(work: readonly NodeWork[], { progress, signal }: ProgressOptions): Promise<void> {
  const { findings, warnings } = await readTrials(work, signal);
  for (const text of describeWarnings(warnings)) note(progress, `warning: ${text}`);
  refuseFindings(findings, "no node was drained or changed, because a program does not accept its flags");
}
