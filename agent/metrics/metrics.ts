import {
  type Component,
  Health,
  HistoryKind,
  type Operation,
  OperationState,
} from "../../proto/gen/khw/agent/v1/agent.ts";
import type { Snapshot } from "../../proto/gen/khw/agent/v1/etcd.ts";
import { isTransient } from "../../proto/operation.ts";
import { type Metric, render } from "./text.ts";
import type { Node } from "../node.ts";

export interface MetricsOptions {
  readonly node: Pick<Node, "statusStore" | "history" | "supervisor"> & { readonly etcd?: SnapshotFacts };
  readonly version: string;
  /** When the agent started, in seconds since the epoch. */
  readonly startSeconds: number;
  /** The agent's resident memory, in bytes. */
  readonly residentBytes: () => number;
  readonly signal: AbortSignal;
}

/** The source of the metrics about etcd snapshots. */
export interface SnapshotFacts {
  readonly snapshots: { newest(): Snapshot | undefined };
}

/** The outcome label of an operation, by the operation's state. */
const outcomes = new Map<OperationState, string>([
  [OperationState.OPERATION_STATE_SUCCEEDED, "succeeded"],
  [OperationState.OPERATION_STATE_FAILED, "failed"],
  [OperationState.OPERATION_STATE_INTERRUPTED, "interrupted"],
]);

/**
 * Starts counting events. The returned function returns the values of all metrics (docs/metrics.md) in Prometheus' text
 * format. Counters start at zero in each agent process, which Prometheus can handle.
 */
export function createMetrics({ node, version, startSeconds, residentBytes, signal }: MetricsOptions): () => string {
  const { statusStore, history, supervisor, etcd } = node;
  const operations = new Map([...outcomes.values()].map((outcome) => [outcome, 0]));
  let repairs = 0;
  let operation = statusStore.read().operation;
  const ended = (now: Operation): void => {
    if (isTransient(now)) return;
    const outcome = outcomes.get(now.state);
    const same = operation?.id === now.id && operation.startedUnixMillis === now.startedUnixMillis;
    if (outcome !== undefined && !(same && operation?.state === now.state)) {
      operations.set(outcome, (operations.get(outcome) ?? 0) + 1);
    }
    operation = now;
  };
  const stops = [
    statusStore.listen((change) => {
      if (change.operation !== undefined) ended(change.operation);
    }),
    history.listen(({ kind }) => {
      if (kind === HistoryKind.HISTORY_KIND_REPAIR) repairs++;
    }),
  ];
  signal.addEventListener("abort", () => stops.forEach((stop) => stop()), { once: true });

  return () => {
    const { components, certificates, drift, maintenance } = statusStore.read();
    return render([
      gauge("khw_agent_build_info", "Always 1; the agent's version is a label.", [[{ version }, 1]]),
      gauge("khw_agent_start_time_seconds", "When the agent started, in seconds since the epoch.", [
        [{}, startSeconds],
      ]),
      gauge("khw_agent_resident_memory_bytes", "Resident memory of the agent.", [[{}, residentBytes()]]),
      gauge(
        "khw_component_up",
        "1 while the component is active in systemd.",
        ofComponents(components, ({ activeState }) => bit(activeState === "active")),
      ),
      gauge(
        "khw_component_healthy",
        "1 while the component passes its health check.",
        ofComponents(components, ({ health }) => bit(health === Health.HEALTH_HEALTHY)),
      ),
      gauge(
        "khw_component_probe_duration_seconds",
        "The response time of the component's last health check.",
        [...supervisor.latencies()].map(([component, millis]) => [{ component }, millis / 1000]),
      ),
      gauge(
        "khw_component_systemd_restarts",
        "How many times systemd has restarted the component since its last requested start.",
        ofComponents(components, ({ restarts }) => restarts),
      ),
      counter(
        "khw_component_supervised_restarts_total",
        "Automatic restarts of the component by the agent.",
        components.map(({ name, supervisedRestarts }) => [{ component: name }, supervisedRestarts]),
      ),
      counter("khw_repairs_total", "Steps that differed from the desired state and were repaired.", [[{}, repairs]]),
      gauge("khw_drifted_steps", "Steps that differ from the desired state and have not been repaired.", [
        [{}, drift.steps.length],
      ]),
      gauge("khw_drift_paused", "1 while drift checks are paused.", [[{}, bit(drift.paused !== "")]]),
      gauge(
        "khw_drift_checked_timestamp_seconds",
        "When all steps were last checked, in seconds since the epoch; 0 if not yet.",
        [[{}, drift.checkedUnixMillis / 1000]],
      ),
      gauge(
        "khw_certificate_expiry_timestamp_seconds",
        "When the certificate expires, in seconds since the epoch; 0 if it cannot be read.",
        certificates.map(({ path, subject, expiresUnixMillis }) => [{ path, subject }, expiresUnixMillis / 1000]),
      ),
      counter(
        "khw_operations_total",
        "Finished operations, by outcome.",
        [...operations].map(([outcome, count]) => [{ outcome }, count]),
      ),
      ...snapshotGauges(etcd?.snapshots.newest()),
      gauge("khw_drained", "1 while the node is drained.", [[{}, bit(maintenance.drained)]]),
    ]);
  };
}

/** Returns no metrics if this machine has taken no snapshot. */
function snapshotGauges(newest: Snapshot | undefined): Metric[] {
  if (newest === undefined) return [];
  const { takenUnixMillis, size, revision } = newest;
  return [
    gauge(
      "khw_etcd_snapshot_timestamp_seconds",
      "When this machine took its newest verified snapshot of etcd, in seconds since the epoch.",
      [[{}, takenUnixMillis / 1000]],
    ),
    gauge("khw_etcd_snapshot_size_bytes", "The size of this machine's newest verified snapshot of etcd, in bytes.", [
      [{}, size],
    ]),
    gauge("khw_etcd_snapshot_revision", "The newest revision in this machine's newest verified snapshot of etcd.", [
      [{}, revision],
    ]),
  ];
}

function gauge(name: string, help: string, samples: Metric["samples"]): Metric {
  return { name, help, type: "gauge", samples };
}

function counter(name: string, help: string, samples: Metric["samples"]): Metric {
  return { name, help, type: "counter", samples };
}

/** Returns one sample for each component. */
function ofComponents(components: readonly Component[], value: (component: Component) => number): Metric["samples"] {
  return components.map((component) => [{ component: component.name }, value(component)]);
}

function bit(holds: boolean): 0 | 1 {
  return holds ? 1 : 0;
}
