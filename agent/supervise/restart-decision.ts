import { DriftPolicy } from "../../proto/gen/khw/agent/v1/agent.ts";
import type { NodeStatus } from "../state/status-store.ts";
import type { UnitStatus } from "../os/systemd.ts";
import type { LivenessResult } from "../health/liveness.ts";
import { failuresAllowed } from "./failures.ts";
import type { RestartReason } from "./restarter.ts";

export interface Wanted extends Pick<NodeStatus, "maintenance" | "drift"> {
  /** Whether, according to the desired state, khw manages etcd on this node. */
  readonly etcdIsOwn?: boolean;
}

/** Returns the reason to start a component that is not running, based on its unit and the node's desired state. */
export function downReason(
  component: string,
  { loadState, unitFileState, activeState, result, unmet = false }: UnitStatus,
  { maintenance, drift, etcdIsOwn = false }: Wanted,
): RestartReason | undefined {
  // The agent does not start a unit that is missing, not enabled, or kept down by its own condition.
  if (loadState !== "loaded" || unitFileState !== "enabled" || unmet) return undefined;
  const report = drift.policy === DriftPolicy.DRIFT_POLICY_REPORT;
  // A stop counts as deliberate on a drained node, and for an etcd that khw does not manage. Any other stopped
  // component counts as drift.
  const own = component !== "etcd" || etcdIsOwn;
  const unwanted = activeState === "inactive" && own && !maintenance.drained && !report;
  if (activeState !== "failed" && !unwanted) return undefined;
  return { kind: "down", reason: `it was ${activeState} (${result})` };
}

/** Returns the reason to restart a component after this many consecutive failed probes. */
export function hungReason(
  component: string,
  found: LivenessResult | undefined,
  failures: number,
): RestartReason | undefined {
  if (found?.liveness.kind !== "dead" || failures < failuresAllowed(component)) return undefined;
  return { ...found.liveness, kind: "hung" };
}
