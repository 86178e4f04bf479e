import { randomUUID } from "node:crypto";
import type { KhwError } from "../../proto/errors.ts";
import { Upgrade, UpgradeState } from "../../proto/gen/khw/agent/v1/agent.ts";
import { isUnknownCall } from "../cluster/call-errors.ts";
import { forEachNode, maxConcurrentNodes } from "../cluster/for-each-node.ts";
import type { Member } from "../cluster/open.ts";
import { note, type Progress } from "../progress/progress.ts";
import type { Prepared } from "../rollout/plan.ts";
import type { Course } from "./course.ts";

/** The facts about an upgrade that its course does not contain. */
export type UpgradeFacts = Pick<Upgrade, "snapshotId" | "emulatedVersion">;

/** Returns the record of a new or continued upgrade. */
export function upgradeOf({ from, to, unfinished }: Course, { snapshotId, emulatedVersion }: UpgradeFacts): Upgrade {
  return Upgrade.fromPartial({
    id: unfinished?.id ?? randomUUID(),
    fromVersion: from,
    toVersion: to,
    snapshotId,
    emulatedVersion,
    state: UpgradeState.UPGRADE_STATE_RUNNING,
  });
}

/** A record only states facts, so it is also written after Ctrl-C. */
const never = new AbortController().signal;

/**
 * Writes the record to every agent's status and history. An agent that cannot keep the record does not stop an upgrade; a note names
 * the agent.
 */
export async function recordUpgrade(members: readonly Member[], upgrade: Upgrade, progress: Progress): Promise<void> {
  const answers = await forEachNode(members, maxConcurrentNodes, (node) => node.recordUpgrade(upgrade, never));
  for (const { name, error } of answers) if (error !== undefined) note(progress, notKept(name, error));
}

function notKept(name: string, error: KhwError): string {
  const why = isUnknownCall(error) ? "its agent is older than this client" : error.message;
  return `${name}: the upgrade could not be recorded in this node's history: ${why}`;
}

/**
 * Records the end of an upgrade whose client was killed before its first node changed, because the current command
 * applies another release.
 */
export async function closeAbandoned(
  members: readonly Member[],
  { lastUpgrade: last, releases }: Pick<Prepared, "lastUpgrade" | "releases">,
  progress: Progress,
): Promise<void> {
  if (last?.state !== UpgradeState.UPGRADE_STATE_RUNNING || last.restoresSnapshot === true) return;
  if (last.toVersion === releases.kubernetes) return;
  const report = `abandoned: a later command applied ${releases.kubernetes}`;
  await recordUpgrade(members, { ...last, state: UpgradeState.UPGRADE_STATE_STOPPED, report }, progress);
}
