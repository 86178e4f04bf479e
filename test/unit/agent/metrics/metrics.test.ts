import { once } from "node:events";
import { createServer } from "node:net";
import t from "tap";
import { createStatusStore } from "../../../../agent/state/status-store.ts";
import { openHistory } from "../../../../agent/history/history.ts";
import { serveMetrics } from "../../../../agent/metrics/server.ts";
import { render } from "../../../../agent/metrics/text.ts";
import { createMetrics } from "../../../../agent/metrics/metrics.ts";
import { Health, HistoryKind, type Operation, OperationState } from "../../../../proto/gen/khw/agent/v1/agent.ts";
import { Snapshot } from "../../../../proto/gen/khw/agent/v1/etcd.ts";
import { createFakeOs } from "../../../fakes/os.ts";
import { component } from "../../../fixtures/status.ts";

async function start() {
  const { files, clock } = createFakeOs();
  const history = await openHistory({ files, clock, folder: "/var/lib/khw-agent", log: () => {} });
  const statusStore = createStatusStore(undefined);
  const supervisor = { restart: async () => 0, read: async () => [], latencies: () => new Map([["nginx", 1.5]]) };
  const { signal } = new AbortController();
  const options = { version: "1.2.3", startSeconds: 5, residentBytes: () => 7, signal };
  const newest = Snapshot.fromPartial({ takenUnixMillis: 5_000, size: 20_480, revision: 7 });
  const etcd = { snapshots: { newest: () => newest } };
  return {
    history,
    statusStore,
    metrics: createMetrics({ node: { statusStore, history, supervisor, etcd }, ...options }),
  };
}

const operation = (id: string, state: OperationState): Operation => ({
  id,
  holder: "alice",
  startedUnixMillis: 1,
  state,
  error: undefined,
});

t.test("the metrics show the values of the status store and the history", async (t) => {
  const { history, statusStore, metrics } = await start();
  statusStore.publish({
    components: [component("nginx", { supervisedRestarts: 2, health: Health.HEALTH_UNHEALTHY })],
    maintenance: { drained: true, holder: "alice", sinceUnixMillis: 1 },
  });
  history.append({ kind: HistoryKind.HISTORY_KIND_REPAIR, subject: "unit/nginx", message: "repaired" });
  history.append({ kind: HistoryKind.HISTORY_KIND_DRIFT, subject: "unit/nginx", message: "left" });
  for (const [id, state] of [
    ["1", OperationState.OPERATION_STATE_RUNNING],
    ["1", OperationState.OPERATION_STATE_SUCCEEDED],
    ["2", OperationState.OPERATION_STATE_RUNNING],
    ["2", OperationState.OPERATION_STATE_FAILED],
  ] as const) {
    statusStore.publish({ operation: operation(id, state) });
  }
  const lines = metrics().split("\n");
  for (const line of [
    'khw_agent_build_info{version="1.2.3"} 1',
    'khw_component_up{component="nginx"} 1',
    'khw_component_healthy{component="nginx"} 0',
    'khw_component_probe_duration_seconds{component="nginx"} 0.0015',
    'khw_component_supervised_restarts_total{component="nginx"} 2',
    "khw_repairs_total 1",
    "khw_drained 1",
    "khw_etcd_snapshot_timestamp_seconds 5",
    "khw_etcd_snapshot_size_bytes 20480",
    "khw_etcd_snapshot_revision 7",
    'khw_operations_total{outcome="succeeded"} 1',
    'khw_operations_total{outcome="failed"} 1',
    'khw_operations_total{outcome="interrupted"} 0',
  ]) {
    t.ok(lines.includes(line), line);
  }
});

t.test("label values are escaped", async (t) => {
  const text = render([{ name: "a", help: "h\\\n", type: "gauge", samples: [[{ path: 'x"\\\ny' }, 1]] }]);
  t.equal(text, '# HELP a h\\\\\\n\n# TYPE a gauge\na{path="x\\"\\\\\\ny"} 1\n');
});

t.test("metrics are served read-only on loopback at /metrics until the agent stops", async (t) => {
  const ending = new AbortController();
  const port = await serveMetrics({
    port: 0,
    metrics: () => "a 1\n",
    log: (line) => t.fail(line),
    signal: ending.signal,
  });
  const url = `http://127.0.0.1:${port}`;
  const response = await fetch(`${url}/metrics`);
  t.equal(await response.text(), "a 1\n");
  t.match(response.headers.get("content-type"), "text/plain; version=0.0.4");
  t.equal((await fetch(`${url}/`)).status, 404);
  t.equal((await fetch(`${url}/metrics`, { method: "POST" })).status, 405);
  ending.abort();
  await t.rejects(fetch(`${url}/metrics`));
});

t.test("an agent whose metrics port is in use runs without metrics and logs the reason", async (t) => {
  const taken = createServer().listen(0, "127.0.0.1");
  await once(taken, "listening");
  t.teardown(() => taken.close());
  const address = taken.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const lines: string[] = [];
  const { signal } = new AbortController();
  t.equal(await serveMetrics({ port, metrics: () => "", log: (line) => lines.push(line), signal }), undefined);
  t.match(lines, [/^no metrics: cannot listen on 127\.0\.0\.1:\d+: .*EADDRINUSE.*metricsPort/]);
});
