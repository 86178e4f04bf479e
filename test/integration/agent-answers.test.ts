import { once } from "node:events";
import { setImmediate, setTimeout } from "node:timers/promises";
import { type ClientReadableStream, credentials, status } from "@grpc/grpc-js";
import t from "tap";
import { HealthClient, HealthCheckResponse_ServingStatus as Serving } from "../../proto/gen/grpc/health/v1/health.ts";
import { ServerReflectionClient } from "../../proto/gen/grpc/reflection/v1/reflection.ts";
import {
  type Component,
  type GetPlanResponse,
  type HistoryEvent,
  HistoryKind,
  type LogEntry,
  type WatchStatusResponse,
} from "../../proto/gen/khw/agent/v1/agent.ts";
import { type AgentServer, startAgent } from "../fixtures/agent-server.ts";
import { answer, clientOf, collect, describeFailure, failure, open, refusal } from "../fixtures/agent-calls.ts";
import { labState } from "../fixtures/lab-cluster.ts";
import { labMachine } from "../fixtures/machine.ts";
import { component } from "../fixtures/status.ts";

const id = "00000000-0000-4000-8000-000000000000";
const all = { sinceUnixMillis: 0, limit: 0, follow: false };

async function next<Message>(stream: ClientReadableStream<Message>): Promise<Message> {
  const [message]: Message[] = await once(stream, "data");
  if (message === undefined) throw new Error("the stream ended");
  return message;
}

/** Returns the component that a change contains. */
function changed({ kind }: WatchStatusResponse): Component | undefined {
  return kind?.$case === "change" ? kind.value.components[0] : undefined;
}

t.test("a status watcher first gets the full state, then each change immediately", async (t) => {
  const { agent, client } = await open(t);
  const { statusStore } = await agent.node();
  const watch = client.watchStatus({});
  watch.on("error", () => {});
  t.match(await next(watch), {
    kind: { $case: "full", value: { agentVersion: "1.2.3", identity: { name: "controller-0" }, machine: { cpus: 2 } } },
  });
  const began = performance.now();
  statusStore.publish({ components: [component("nginx", { pid: 4711 })] });
  t.match(changed(await next(watch)), { name: "nginx", pid: 4711 });
  t.ok(performance.now() - began < 100, "no timer delays the report of a change");
  statusStore.publish({ maintenance: { drained: true, holder: "alice", sinceUnixMillis: 1 } });
  t.match(await next(watch), { kind: { value: { components: [], maintenance: { drained: true } } } });
  watch.cancel();
});

t.test("a watcher that pauses and then resumes reading gets only the newest state, not a backlog", async (t) => {
  const { agent, client } = await open(t);
  const { statusStore } = await agent.node();
  const watch = client.watchStatus({});
  watch.on("error", () => {});
  await next(watch);
  watch.pause();
  const rounds = 1_000;
  const reason = "x".repeat(1_000);
  for (let round = 1; round <= rounds; round++) {
    for (let pid = 1; pid <= 100; pid++) {
      statusStore.publish({ components: [component("nginx", { reason, pid: round * 100 + pid })] });
    }
    await setImmediate();
  }
  const told: WatchStatusResponse[] = [];
  watch.on("data", (message: WatchStatusResponse) => told.push(message));
  watch.resume();
  const newest = rounds * 100 + 100;
  for (let last = 0; last !== newest; last = changed(told.at(-1) ?? { kind: undefined })?.pid ?? 0)
    await setTimeout(10);
  t.ok(told.length < 2_000, `100000 changes are sent in fewer than 2000 messages: ${told.length}`);
  watch.cancel();
});

t.test("a watcher that disconnects is removed without logging a failure", async (t) => {
  const { agent, client } = await open(t);
  const { statusStore } = await agent.node();
  const leaving = clientOf(agent, await agent.identity("viewer"));
  const watch = leaving.watchStatus({});
  watch.on("error", () => {});
  await next(watch);
  leaving.close();
  watch.cancel();
  const other = client.watchStatus({});
  other.on("error", () => {});
  await next(other);
  statusStore.publish({ components: [component("nginx", { pid: 5 })] });
  t.match(changed(await next(other)), { pid: 5 });
  other.cancel();
  t.strictSame(
    agent.lines.filter((line) => line.includes("WatchStatus")),
    [],
    "a canceled call is not logged as a failure",
  );
});

t.test("a stopping agent closes its watch streams without waiting for the watchers", async (t) => {
  const { agent, client } = await open(t);
  const streams = [client.watchStatus({}), client.listEvents({ ...all, follow: true })];
  const [watched, listened] = streams.map((stream) => refusal(stream));
  await Promise.all(streams.map((stream) => once(stream, "metadata")));
  const began = Date.now();
  await agent.stop(new Error("stopped"));
  t.match(await watched, { code: status.INTERNAL });
  t.match(await listened, { code: status.INTERNAL });
  t.ok(Date.now() - began < 1_500, "the streams ended before the listener closed them");
});

t.test("the agent streams journals line by line, and only for khw's components", async (t) => {
  const os = labMachine();
  const line = (text: string, timeUnixMillis: number): LogEntry => ({ timeUnixMillis, text, priority: 6, pid: 7 });
  const many = Array.from({ length: 5_000 }, (_, index) => line(`${index} ${"x".repeat(500)}`, index + 1));
  os.journal.set("kube-apiserver.service", many);
  os.journal.set("khw-agent.service", [line("started", 1)]);
  const { client } = await open(t, os);
  const request = { component: "kube-apiserver", lines: 0, sinceUnixMillis: 0, follow: false };
  t.strictSame(
    await collect(client.streamLogs(request)),
    many.slice(-100),
    "the last 100 lines are returned by default",
  );
  t.strictSame(await collect(client.streamLogs({ ...request, lines: 3 })), many.slice(-3));
  t.strictSame(
    await collect(client.streamLogs({ ...request, sinceUnixMillis: 2 })),
    many.slice(1),
    "all lines since the given time are returned",
  );
  t.match(await collect(client.streamLogs({ ...request, component: "khw-agent" })), [{ text: "started" }]);
  for (const component of ["", "sshd", "kube-apiserver.service", "--directory=/etc", "../nginx"]) {
    t.match(await refusal(client.streamLogs({ ...request, component })), {
      code: status.INVALID_ARGUMENT,
      khw: { code: "INVALID_ARGUMENT", hint: /kube-apiserver, .*etcd, khw-agent/ },
    });
  }
});

t.test(
  "the number of open journal streams is limited in total and per caller, and a stream that ends frees its slot",
  async (t) => {
    const os = labMachine();
    os.journal.set("nginx.service", [{ timeUnixMillis: 1, text: "started", priority: 6, pid: 7 }]);
    const { agent, client } = await open(t, os);
    const others = [
      clientOf(agent, await agent.identity("viewer", "bob")),
      clientOf(agent, await agent.identity("viewer")),
    ];
    const [bob = client, carol = client] = others;
    const request = { component: "nginx", lines: 0, sinceUnixMillis: 0, follow: true };
    const follow = (by: typeof client) => by.streamLogs(request).on("error", () => {});
    const streams = Array.from({ length: 12 }, () => follow(client));
    t.teardown(() => {
      for (const stream of streams) stream.cancel();
      for (const other of others) other.close();
    });
    await Promise.all(streams.map((stream) => next(stream)));
    const full = { code: status.RESOURCE_EXHAUSTED, khw: { code: "RESOURCE_EXHAUSTED", hint: /stop one/ } };
    t.match(await refusal(client.streamLogs(request)), { ...full, khw: { message: /^12 .* with this certificate/ } });
    const more = Array.from({ length: 4 }, () => follow(bob));
    streams.push(...more);
    await Promise.all(more.map((stream) => next(stream)));
    t.match(await refusal(carol.streamLogs(request)), { ...full, khw: { message: /^16 .* from all callers/ } });
    streams[0]?.cancel();
    let again: unknown;
    while (again === undefined) {
      const stream = follow(carol);
      again = await next(stream).catch(() => undefined);
      streams.push(stream);
    }
    t.match(again, { text: "started" });
  },
);

t.test("events are listed oldest first, can be limited by time or count, and can be followed", async (t) => {
  const { agent, client, os } = await open(t);
  const { history } = await agent.node();
  const append = (message: string): void => {
    os.clock.advance(1_000);
    history.append({ kind: HistoryKind.HISTORY_KIND_REPAIR, subject: "unit/nginx", message });
  };
  for (let number = 1; number <= 600; number++) append(`${number}`);
  const events = await collect(client.listEvents(all));
  t.strictSame(
    events.map(({ id, message }) => `${id} ${message}`),
    Array.from({ length: 600 }, (_, index) => `${index + 1} ${index + 1}`),
    "all 600 events are returned, although they do not fit on one page",
  );
  t.match(await collect(client.listEvents({ ...all, limit: 2 })), [{ message: "599" }, { message: "600" }]);
  const since = events[597]?.timeUnixMillis ?? 0;
  t.match(await collect(client.listEvents({ ...all, sinceUnixMillis: since })), [
    { id: 598 },
    { id: 599 },
    { id: 600 },
  ]);
  t.strictSame(await collect(client.listEvents({ ...all, sinceUnixMillis: os.clock.now() + 1 })), []);

  const following = client.listEvents({ ...all, limit: 1, follow: true });
  following.on("error", () => {});
  t.match(await next(following), { id: 600 });
  append("601");
  t.match(await next(following), { id: 601, message: "601", problem: false });
  following.pause();
  for (let number = 602; number <= 1_500; number++) append(`${number}`);
  const rest: HistoryEvent[] = [];
  following.on("data", (event: HistoryEvent) => rest.push(event));
  following.resume();
  while (rest.at(-1)?.id !== 1_500) await setTimeout(10);
  t.equal(rest.length, 899, "a slow reader gets each event exactly once");
  following.cancel();
});

t.test("a viewer can read events but not change anything, and another node's agent is refused", async (t) => {
  const { agent } = await open(t);
  const viewer = clientOf(agent, await agent.identity("viewer"));
  const other = clientOf(agent, await agent.identity("agent", "controller-1"));
  t.teardown(() => [viewer, other].forEach((client) => client.close()));
  const denied = { code: status.PERMISSION_DENIED, khw: { code: "PERMISSION_DENIED" } };
  t.match(await failure((done) => viewer.restartComponent({ component: "nginx", reason: "" }, done)), denied);
  t.match(await failure((done) => viewer.setMaintenance({ drained: true }, done)), denied);
  t.strictSame(await collect(viewer.listEvents(all)), []);
  t.match(await failure((done) => viewer.getPlan({}, done)), {
    code: status.FAILED_PRECONDITION,
    khw: { code: "NO_STATE" },
  });
  // The other agent's certificate is valid for a server, but not for a client.
  const unknown = { code: status.PERMISSION_DENIED, khw: undefined };
  t.match(await failure((done) => other.setMaintenance({ drained: true }, done)), unknown);
  t.match(await refusal(other.listEvents(all)), unknown);
  t.match(await refusal(other.watchStatus({})), unknown);
  t.match(
    await refusal(other.streamLogs({ component: "nginx", lines: 0, sinceUnixMillis: 0, follow: false })),
    unknown,
  );
});

t.test(
  "a restart is refused for an unknown component and while another operation holds the machine lock",
  async (t) => {
    const { agent, client } = await open(t);
    for (const component of ["", "sshd", "khw-agent", "nginx.service"]) {
      t.match(await failure((done) => client.restartComponent({ component, reason: "" }, done)), {
        code: status.INVALID_ARGUMENT,
        khw: { code: "INVALID_ARGUMENT", message: /^component: / },
      });
    }
    const { machineLock: writer } = await agent.node();
    const { promise: end, resolve: finish } = Promise.withResolvers<void>();
    const held = writer.lock("bob from 192.0.2.1", () => end);
    const busy = {
      code: status.ABORTED,
      khw: { code: "BUSY", message: /^the node is busy: bob from 192\.0\.2\.1 has held the machine lock since 20/ },
    };
    t.match(await failure((done) => client.restartComponent({ component: "nginx", reason: "" }, done)), busy);
    t.match(await failure((done) => client.setMaintenance({ drained: true }, done)), busy);
    finish();
    await held;
  },
);

t.test(
  "plan finds no drift on a converged controller, and the history records drain, restart and undrain",
  async (t) => {
    const { client } = await open(t);
    await collect(client.apply({ desired: labState(), operationId: id }));
    const plan = await answer<GetPlanResponse>((done) => client.getPlan({}, done));
    t.strictSame(
      plan.steps.filter(({ drift }) => drift !== undefined),
      [],
    );
    t.match(await answer((done) => client.setMaintenance({ drained: true }, done)), {
      maintenance: { drained: true, holder: /^alice from 127\.0\.0\.1:\d+$/ },
    });
    t.match(await answer((done) => client.getStatus({}, done)), { maintenance: { drained: true } });
    t.match(await answer((done) => client.restartComponent({ component: "kube-scheduler", reason: "a test" }, done)), {
      durationMillis: Number,
    });
    t.match(await answer((done) => client.setMaintenance({ drained: false }, done)), {
      maintenance: { drained: false },
    });
    const told = (await collect(client.listEvents(all)))
      .map(({ subject, message }) => `${subject}: ${message}`)
      .join("\n");
    t.match(told, /started by alice from .*\n.*: done\n.*drained by alice.*\n(.*\n)*.*undrained by alice/);
  },
);

/** Connects clients for the standard gRPC services to the same listener. */
async function standard(agent: AgentServer, role: "admin" | "viewer") {
  const { key, certificate } = await agent.identity(role);
  const channel = credentials.createSsl(
    Buffer.from(agent.authority.certificate),
    Buffer.from(key),
    Buffer.from(certificate),
  );
  const [address, options] = [`127.0.0.1:${agent.port}`, { "grpc.ssl_target_name_override": "controller-0" }];
  return {
    health: new HealthClient(address, channel, options),
    reflection: new ServerReflectionClient(address, channel, options),
  };
}

t.test("admins and viewers can read the agent's health through the standard gRPC health service", async (t) => {
  const { agent } = await open(t);
  for (const role of ["admin", "viewer"] as const) {
    const { health, reflection } = await standard(agent, role);
    t.teardown(() => [health, reflection].forEach((client) => client.close()));
    for (const service of ["", "khw.agent.v1.AgentService"]) {
      t.match(await answer((done) => health.check({ service }, done)), { status: Serving.SERVING });
      const watch = health.watch({ service });
      watch.on("error", () => {});
      t.match(await next(watch), { status: Serving.SERVING });
      watch.cancel();
    }
    t.match(await failure((done) => health.check({ service: "khw.Other" }, done)), { code: status.NOT_FOUND });
    const unknown = health.watch({ service: "khw.Other" });
    unknown.on("error", () => {});
    t.match(await next(unknown), { status: Serving.SERVICE_UNKNOWN });
    unknown.cancel();
  }
});

t.test("health and reflection calls are refused without a client certificate", async (t) => {
  const { agent } = await open(t);
  const channel = credentials.createSsl(Buffer.from(agent.authority.certificate));
  const options = { "grpc.ssl_target_name_override": "controller-0" };
  const health = new HealthClient(`127.0.0.1:${agent.port}`, channel, options);
  const reflection = new ServerReflectionClient(`127.0.0.1:${agent.port}`, channel, options);
  t.teardown(() => [health, reflection].forEach((client) => client.close()));
  const unknown = { code: status.PERMISSION_DENIED, khw: undefined };
  t.match(await failure((done) => health.check({ service: "" }, done)), unknown);
  const call = reflection.serverReflectionInfo();
  const [error] = await once(call, "error");
  t.match(describeFailure(error), unknown);
});

t.test("an agent that cannot determine its machine's identity reports NOT_SERVING", async (t) => {
  const os = labMachine();
  const agent = await startAgent(os, { identity: () => Promise.reject(new Error("the metadata server is down")) });
  const { health, reflection } = await standard(agent, "viewer");
  t.teardown(async () => {
    for (const client of [health, reflection]) client.close();
    await agent[Symbol.asyncDispose]();
  });
  t.match(await answer((done) => health.check({ service: "" }, done)), { status: Serving.NOT_SERVING });
  const watch = health.watch({ service: "" });
  watch.on("error", () => {});
  t.match(await next(watch), { status: Serving.NOT_SERVING });
  watch.cancel();
});

t.test("the agent describes its API through gRPC reflection", async (t) => {
  const { agent } = await open(t);
  const { health, reflection } = await standard(agent, "viewer");
  t.teardown(() => [health, reflection].forEach((client) => client.close()));
  const call = reflection.serverReflectionInfo();
  const ask = async (messageRequest: {
    $case: "listServices" | "fileContainingSymbol" | "fileByFilename";
    value: string;
  }) => {
    const answered = next(call);
    call.write({ host: "here", messageRequest });
    const { validHost, messageResponse } = await answered;
    t.equal(validHost, "here");
    return messageResponse;
  };
  t.match(await ask({ $case: "listServices", value: "*" }), {
    $case: "listServicesResponse",
    value: {
      service: [
        { name: "grpc.health.v1.Health" },
        { name: "grpc.reflection.v1.ServerReflection" },
        { name: "khw.agent.v1.AgentService" },
        { name: "khw.agent.v1.EncryptionService" },
      ],
    },
  });
  const names = [
    "khw.agent.v1.AgentService",
    "khw.agent.v1.AgentService.GetStatus",
    "khw.agent.v1.Component",
    "khw.agent.v1.Component.pid",
    "khw.agent.v1.Health",
  ];
  const file = await ask({ $case: "fileByFilename", value: "khw/agent/v1/agent.proto" });
  for (const value of names) t.strictSame(await ask({ $case: "fileContainingSymbol", value }), file, value);
  const [bytes] = file?.$case === "fileDescriptorResponse" ? file.value.fileDescriptorProto : [];
  t.ok(bytes?.includes("khw/agent/v1/agent.proto") && bytes.includes("StreamLogs"));
  const etcd = await ask({ $case: "fileContainingSymbol", value: "khw.agent.v1.EtcdService" });
  const both = etcd?.$case === "fileDescriptorResponse" ? etcd.value.fileDescriptorProto : [];
  t.equal(both.length, 2, "the answer for a file also contains the file that it imports");
  t.strictSame(both[1], bytes);
  t.match(await ask({ $case: "fileContainingSymbol", value: "khw.Nothing" }), {
    $case: "errorResponse",
    value: { errorCode: status.NOT_FOUND },
  });
  call.end();
  await once(call, "end");
});
