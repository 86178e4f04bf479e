import { DrainReason, type Maintenance } from "./gen/khw/agent/v1/agent.ts";

/** Whether a rolling update drained the node and has not undrained it. */
export function isLeft(maintenance: Maintenance | undefined): boolean {
  return maintenance?.drained === true && isRollingUpdate(maintenance.reason);
}

export function isRollingUpdate(reason: DrainReason | undefined): boolean {
  return reason === DrainReason.DRAIN_REASON_ROLLING_UPDATE;
}
