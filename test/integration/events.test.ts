import t, { type Test } from "tap";
import { type AuditEntry, type HistoryEvent, HistoryKind } from "../../proto/gen/khw/agent/v1/agent.ts";
import { eventually } from "../fixtures/eventually.ts";
import { type ScriptedCluster, startScripted } from "../fixtures/scripted-agents.ts";
import { wellStatus } from "../fixtures/status.ts";

const began = Date.parse("2026-11-23T12:00:00.000Z");

function event(id: number, millis: number, changes: Partial<HistoryEvent> = {}): HistoryEvent {
  const kind = HistoryKind.HISTORY_KIND_RESTART;
  return {
    id,
    timeUnixMillis: began + millis,
    kind,
    subject: "nginx",
    message: `event ${id}`,
    cause: "",
    problem: false,
    ...changes,
  };
}

async function start(t: Test, histories: Readonly<Record<string, HistoryEvent[]>>): Promise<ScriptedCluster> {
  const scripts = Object.entries(histories).map(
    ([name, events]) =>
      [
        name,
        {
          status: wellStatus(name),
          history: ({ sinceUnixMillis }: { sinceUnixMillis: number }) =>
            events.filter(({ timeUnixMillis }) => timeUnixMillis >= sinceUnixMillis),
        },
      ] as const,
  );
  const cluster = await startScripted(Object.fromEntries(scripts));
  t.teardown(() => cluster[Symbol.asyncDispose]());
  return cluster;
}

t.test("events of all agents are printed in chronological order, and problems are marked", async (t) => {
  const crash = {
    kind: HistoryKind.HISTORY_KIND_COMPONENT,
    message: "crashed\u{1b}[2J",
    cause: "out of memory",
    problem: true,
  };
  const cluster = await start(t, {
    "controller-0": [event(1, 1), event(2, 3)],
    "controller-1": [event(1, 2, crash)],
  });
  const client = cluster.client(["events"]);
  t.equal(await client.code, 0);
  t.same(client.out().trim().split("\n"), [
    "2026-11-23T12:00:00.001Z controller-0   restart     nginx: event 1",
    "2026-11-23T12:00:00.002Z controller-1 ✖ component   nginx: crashed\u{fffd}[2J: out of memory",
    "2026-11-23T12:00:00.003Z controller-0   restart     nginx: event 2",
  ]);
  t.match(cluster.agents[0]?.asked, [{ limit: 50, sinceUnixMillis: 0 }]);
});

t.test("events can be filtered by node and with --since, and can be printed as JSON", async (t) => {
  const cluster = await start(t, { "controller-0": [], "controller-1": [event(1, 1), event(2, 60_000)] });
  const client = cluster.client(["events", "controller-1", "--since", "2026-11-23T12:00:30Z", "-o", "json"]);
  t.equal(await client.code, 0);
  t.match(JSON.parse(client.out()), { node: "controller-1", id: 2, kind: "restart", problem: false });
  t.match(cluster.agents[1]?.asked, [{ limit: 0 }]);
  t.equal(cluster.agents[0]?.asked.length, 0);
  await t.rejects(cluster.client(["events", "controller-2"]).code, { code: "INVALID_ARGUMENT" });
});

t.test("events of reachable nodes are printed even if one node does not respond", async (t) => {
  const cluster = await start(t, { "controller-0": [event(1, 1)], "controller-1": [] });
  await cluster.agents[1]?.stop();
  const client = cluster.client(["events"]);
  t.equal(await client.code, 3);
  t.match(client.out(), "event 1");
  t.match(client.err(), /^controller-1: no connection/);
});

t.test("events --follow continues after an agent's restart and prints each event exactly once", async (t) => {
  const events = [event(1, 1), event(2, 1)];
  const cluster = await start(t, { "controller-0": events });
  const [agent] = cluster.agents;
  const client = cluster.client(["events", "-f"]);
  const shows = (text: string) =>
    eventually(
      `the output contains ${text}`,
      () => client.out().includes(text),
      () => client.out() + client.err(),
    );
  await shows("event 2");
  await agent?.stop();
  events.push(event(3, 1), event(4, 2));
  await agent?.start();
  await shows("event 4");
  client.interrupt();
  t.equal(await client.code, 0);
  t.same(client.out().match(/event \d/g), ["event 1", "event 2", "event 3", "event 4"]);
});

t.test("events --audit prints the audit entries of all agents in chronological order", async (t) => {
  const entry = (id: number, changes: Partial<AuditEntry>): AuditEntry => ({
    id,
    timeUnixMillis: began + id,
    caller: "alice",
    role: "admin",
    serialNumber: "0A",
    address: "192.0.2.1:5",
    method: "AgentService/RestartComponent",
    target: "component=etcd",
    result: "OK",
    message: "",
    count: 1,
    durationMillis: 20,
    ...changes,
  });
  const refused = {
    caller: "b\u{1b}ob",
    role: "",
    result: "PERMISSION_DENIED",
    message: "may not",
    target: "",
    count: 7,
  };
  const cluster = await startScripted({
    "controller-0": { status: wellStatus("controller-0"), audit: [entry(2, {})] },
    "controller-1": { status: wellStatus("controller-1"), audit: [entry(1, refused)] },
  });
  t.teardown(() => cluster[Symbol.asyncDispose]());
  const client = cluster.client(["events", "--audit"]);
  t.equal(await client.code, 0);
  t.same(client.out().trim().split("\n"), [
    "2026-11-23T12:00:00.001Z controller-1 ✖ b\u{fffd}ob (no role, certificate 0A) from 192.0.2.1:5: AgentService/RestartComponent: PERMISSION_DENIED: may not (7 times within a minute)",
    "2026-11-23T12:00:00.002Z controller-0   alice (admin, certificate 0A) from 192.0.2.1:5: AgentService/RestartComponent component=etcd: OK",
  ]);
  const json = cluster.client(["events", "controller-0", "--audit", "-o", "json"]);
  t.equal(await json.code, 0);
  t.match(JSON.parse(json.out()), { node: "controller-0", caller: "alice", serialNumber: "0A", result: "OK" });
  await t.rejects(cluster.client(["events", "--audit", "-f"]).code, { code: "INVALID_ARGUMENT", hint: /again/ });
});
