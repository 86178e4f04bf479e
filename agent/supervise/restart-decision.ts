import { DriftPolicy } from "../../proto/gen/khw/agent/v1/agent.ts";
import type { BoardState } from "../state/status-store.ts";
import type { UnitStatus } from "../os/os.ts";
import type { Examination } from "./liveness.ts";
import { failuresAllowed } from "./failures.ts";
import type { Need } from "./restarter.ts";

export interface Wanted extends Pick<BoardState, "maintenance" | "drift"> {
  /** The state that the agent keeps has khw's own etcd. */
  readonly etcdIsOwn?: boolean;
}

/** What a component's unit, and what is wanted of its node, call for when it does not run. */
export function downNeed(
  component: string,
  { loadState, unitFileState, activeState, result, unmet = false }: UnitStatus,
  { maintenance, drift, etcdIsOwn = false }: Wanted,
): Need | undefined {
  // What its unit's own condition keeps from starting is not helped by a start.
  if (loadState !== "loaded" || unitFileState !== "enabled" || unmet) return undefined;
  const report = drift.policy === DriftPolicy.DRIFT_POLICY_REPORT;
  // Who stops an etcd that is not khw's, or anything on a drained node, does so on purpose; elsewhere it is drift.
  const own = component !== "etcd" || etcdIsOwn;
  const unwanted = activeState === "inactive" && own && !maintenance.drained && !report;
  if (activeState !== "failed" && !unwanted) return undefined;
  return { kind: "down", reason: `it was ${activeState} (${result})` };
}

/** What an answer that is one of so many failures in a row calls for. */
export function hungNeed(component: string, found: Examination | undefined, failures: number): Need | undefined {
  if (found?.life.kind !== "dead" || failures < failuresAllowed(component)) return undefined;
  return { ...found.life, kind: "hung" };
}
