import { DrainReason, type Maintenance } from "./gen/khw/agent/v1/agent.ts";

/** Whether a rolling update has drained the node and left it drained. */
export function isLeft(maintenance: Maintenance | undefined): boolean {
  return maintenance?.drained === true && isRollingUpdate(maintenance.reason);
}

export function isRollingUpdate(reason: DrainReason | undefined): boolean {
  return reason === DrainReason.DRAIN_REASON_ROLLING_UPDATE;
}
