import { createHash, X509Certificate } from "node:crypto";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { connect as connectTcp } from "node:net";
import { setTimeout } from "node:timers/promises";
import { connect, type ConnectionOptions } from "node:tls";
import { credentials, makeClientConstructor, Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { type AnyDefinition, load, type ServiceDefinition } from "@grpc/proto-loader";
import t from "tap";
import { createAuthority, type Identity, issue } from "../../client/pki/management/issue.ts";
import { KhwError } from "../../proto/errors.ts";
import {
  type DesiredState,
  type Event,
  type GetInfoResponse,
  OperationState,
  StepOutcome,
} from "../../proto/gen/khw/agent/v1/agent.ts";
import { labMachine } from "../fixtures/machine.ts";
import { labState } from "../fixtures/lab-cluster.ts";
import { answer, clientOf, collect, failure, open, refusal } from "../fixtures/agent-calls.ts";

const ids = Array.from({ length: 9 }, (_, digit) => `${String(digit).repeat(8)}-0000-4000-8000-000000000000`);
const [id = "", otherId = ""] = ids;

function isMessage(definition: AnyDefinition): definition is Exclude<AnyDefinition, ServiceDefinition> {
  return "format" in definition;
}

const kinds = (events: readonly Event[]) => events.map(({ kind }) => kind?.$case);

/** Creates a machine on which the test controls how long the installation of nginx takes. */
function slowMachine() {
  const os = labMachine();
  const { promise: begun, resolve: begin } = Promise.withResolvers<(text: string) => void>();
  const { promise: end, resolve: finish } = Promise.withResolvers<void>();
  const slow = {
    ...os,
    packages: {
      ...os.packages,
      install: async (...[name, context]: Parameters<typeof os.packages.install>) => {
        begin(context.progress);
        await end;
        context.signal.throwIfAborted();
        await os.packages.install(name, context);
      },
    },
  };
  return { os: slow, begun, finish };
}

/** Waits until a call has taken effect on the other side of the connection. */
async function eventually(what: string, holds: () => boolean): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!holds()) {
    if (Date.now() > deadline) throw new Error(`timed out after 10 s waiting until ${what}`);
    await setTimeout(5);
  }
}

t.test("a connection without TLS 1.3 is refused", async (t) => {
  const { agent } = await open(t);
  const dial = async (options: ConnectionOptions): Promise<string> => {
    const socket = connect({ host: "127.0.0.1", port: agent.port, ca: agent.authority.certificate, ...options });
    try {
      await once(socket, "secureConnect");
      return socket.getProtocol() ?? "";
    } catch (error) {
      return String(error);
    } finally {
      socket.destroy();
    }
  };
  const servername = "controller-0";
  t.equal(await dial({ servername, ALPNProtocols: ["h2"] }), "TLSv1.3");
  t.match(await dial({ servername, ALPNProtocols: ["h2"], maxVersion: "TLSv1.2" }), /protocol version/);
  t.match(await dial({ servername, ALPNProtocols: ["http/1.1"] }), /no application protocol/);
  await eventually("both refusals are logged with the peer's address", () => {
    return (
      agent.lines.filter((line) => line.startsWith("refused a connection from 127.0.0.1: no TLS connection: "))
        .length === 2
    );
  });

  const plain = connectTcp(agent.port, "127.0.0.1");
  plain.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  const [said] = await Promise.race([once(plain, "data"), once(plain, "close")]);
  t.notMatch(String(said), "HTTP");
  plain.destroy();
});

t.test("TLS sessions cannot be resumed, so every connection must present a certificate", async (t) => {
  const { agent } = await open(t);
  const { certificate, key } = await agent.identity("admin");
  const dial = (session?: Buffer) =>
    connect({
      host: "127.0.0.1",
      port: agent.port,
      servername: "controller-0",
      ca: agent.authority.certificate,
      cert: certificate,
      key,
      ALPNProtocols: ["h2"],
      ...(session === undefined ? {} : { session }),
    });
  const first = dial();
  const sessions: Buffer[] = [];
  first.on("session", (session) => sessions.push(session));
  // The first data that arrives is the server's HTTP/2 settings. When they arrive, the TLS handshake is complete.
  await once(first, "data");
  first.destroy();
  for (const session of sessions) {
    const again = dial(session);
    await once(again, "secureConnect");
    t.notOk(again.isSessionReused());
    again.destroy();
  }
  t.pass(`${sessions.length} sessions were offered`);
});

t.test("a caller that aborts the handshake or does not speak HTTP/2 does not disturb the agent", async (t) => {
  const { agent, client } = await open(t);
  const cut = connectTcp(agent.port, "127.0.0.1");
  cut.write(Buffer.from("1603010200010001fc0303", "hex"));
  await setTimeout(20);
  cut.resetAndDestroy();
  const babbler = connect({ host: "127.0.0.1", port: agent.port, rejectUnauthorized: false });
  babbler.on("error", () => {}).resume();
  await once(babbler, "secureConnect");
  babbler.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(100));
  await once(babbler, "close");
  t.match(await answer((done) => client.getInfo({}, done)), { agentVersion: "1.2.3" });
});

t.test(
  "a caller without a valid certificate is refused before any call and logged with its address and the cause",
  async (t) => {
    const { agent, os } = await open(t);
    const now = new Date();
    const stranger = await issue(await createAuthority(now), { name: "eve", role: "admin", days: 1 }, now);
    const at = (days: number) => new Date(now.getTime() + days * 86_400_000);
    const late = await issue(agent.authority, { name: "late", role: "admin", days: 1 }, at(-2));
    const early = await issue(agent.authority, { name: "early", role: "admin", days: 1 }, at(2));
    const cases: readonly (readonly [string, Identity | undefined, RegExp])[] = [
      ["no certificate", undefined, /the caller presents no certificate$/],
      ["a certificate of another CA", stranger, /not signed by the management CA that the agent trusts \(\w+\)$/],
      ["an expired certificate", late, /certificate expired at 20\S+$/],
      ["a certificate that is not valid yet", early, /certificate is not valid before 20\S+$/],
      ["an agent's own certificate", agent.own, /was not issued for callers$/],
    ];
    for (const [who, identity, cause] of cases) {
      const client = clientOf(agent, identity);
      const logged = agent.lines.length;
      for (const call of [
        () => failure((done) => client.getInfo({}, done)),
        () => failure((done) => client.preflight({ desired: labState() }, done)),
        () =>
          failure((done) => client.applyRbac({ ca: Buffer.of(), certificate: Buffer.of(), key: Buffer.of() }, done)),
        () => refusal(client.apply({ desired: labState(), operationId: id })),
        () => refusal(client.watchOperation({ operationId: "" })),
      ]) {
        t.strictSame(await call(), { code: status.PERMISSION_DENIED, khw: undefined }, who);
      }
      client.close();
      const lines = agent.lines.slice(logged);
      t.equal(lines.length, 1, `${who}: the agent logs one line`);
      t.match(lines[0], /^refused a connection from 127\.0\.0\.1: /, who);
      t.match(lines[0], cause);
    }
    t.strictSame(os.changes(), []);
  },
);

t.test("a viewer can read but not change anything, and a caller without a khw role is refused", async (t) => {
  const { agent, os } = await open(t);
  const viewer = clientOf(agent, await agent.identity("viewer", "bob"));
  t.teardown(() => viewer.close());
  t.match(await answer((done) => viewer.getInfo({}, done)), { identity: { name: "controller-0" } });
  t.match(await answer((done) => viewer.getStatus({}, done)), { components: [{ name: "kube-apiserver" }] });
  t.ok((await answer<{ steps: unknown[] }>((done) => viewer.plan({ desired: labState() }, done))).steps.length > 20);
  t.match(await refusal(viewer.watchOperation({ operationId: "" })), { khw: { code: "INVALID_ARGUMENT" } });

  const denied = { code: status.PERMISSION_DENIED, khw: { code: "PERMISSION_DENIED", hint: /khw:admin/ } };
  const rbac = { ca: Buffer.of(), certificate: Buffer.of(), key: Buffer.of() };
  t.match(await failure((done) => viewer.preflight({ desired: labState() }, done)), denied);
  t.match(await failure((done) => viewer.applyRbac(rbac, done)), denied);
  t.match(await refusal(viewer.apply({ desired: labState(), operationId: id })), denied);
  t.match(
    agent.lines.at(-1),
    /"bob" \(viewer, .* from 127\.0\.0\.1:\d+: AgentService\/Apply: PERMISSION_DENIED: bob \(role viewer\) is not allowed to call Apply$/,
  );
  t.strictSame(os.changes(), []);
  t.match(await answer((done) => viewer.getInfo({}, done)), { operation: undefined });
});

t.test("a client that is built from the .proto file alone can call the agent", async (t) => {
  const { agent } = await open(t);
  const viewer = await agent.identity("viewer");
  const definition = await load("khw/agent/v1/agent.proto", {
    includeDirs: [new URL("../../proto", import.meta.url).pathname],
    keepCase: true,
    longs: String,
    enums: String,
  });
  const service = definition["khw.agent.v1.AgentService"];
  if (service === undefined || isMessage(service)) throw new Error("the .proto file has no AgentService");
  const Client = makeClientConstructor(service, "AgentService");
  const client = new Client(
    `127.0.0.1:${agent.port}`,
    credentials.createSsl(
      Buffer.from(agent.authority.certificate),
      Buffer.from(viewer.key),
      Buffer.from(viewer.certificate),
    ),
    { "grpc.ssl_target_name_override": "controller-0" },
  );
  t.teardown(() => client.close());
  const call = (method: string, request: object): Promise<Record<string, unknown>> =>
    answer((done) => client[method]?.(request, done));

  t.match(await call("GetInfo", {}), {
    agent_version: "1.2.3",
    architecture: "amd64",
    identity: { name: "controller-0", internal_ip: "10.240.0.10", zone: "us-west1-c" },
    clock_unix_millis: /^\d{13}$/,
  });
  const state = labState();
  const desired = {
    node: "controller-0",
    kubernetes_version: "v1.21.0",
    binaries: { mirrors: ["https://dl.k8s.io/release"] },
    cluster: {
      name: "kubernetes",
      public_address: "203.0.113.10",
      controllers: [{ name: "controller-0", internal_ip: "10.240.0.10" }],
      etcd_servers: ["https://10.240.0.10:2379"],
      service_cidr: "10.32.0.0/24",
      cluster_cidr: "10.200.0.0/16",
      node_port_range: "30000-32767",
    },
    credentials: state.credentials.map(({ name, sha256 }) => ({ name, sha256 })),
  };
  const { steps } = await call("Plan", { desired });
  if (!Array.isArray(steps)) throw new TypeError("the plan has no steps");
  t.match(steps[0], { id: "identity" });
  t.notOk("drift" in steps[0], "a step without drift has no drift text");
  t.match(
    steps.find(({ id }) => id === "folder/etc/kubernetes/config"),
    { drift: "the folder does not exist" },
  );
  await t.rejects(call("Plan", { desired: { ...desired, kubernetes_version: "v9.99.0" } }), {
    code: status.INVALID_ARGUMENT,
    details: /v9\.99\.0/,
  });
  const denied = await new Promise<ServiceError>((resolve) => {
    client["Apply"]?.({ desired, operation_id: id })
      .on("data", () => {})
      .on("error", resolve);
  });
  const [detail] = denied.metadata.get("khw-error-bin");
  // The detail must start with field 1 of ErrorDetail, which is length-delimited. The test parses the detail by hand,
  // so that the check does not depend on khw's code.
  t.ok(Buffer.isBuffer(detail) && detail.subarray(0, 2).equals(Buffer.from([0x0a, 17])));
  t.equal(Buffer.isBuffer(detail) && detail.subarray(2, 19).toString(), "PERMISSION_DENIED");
});

t.test("Apply reports each step in order and leaves the machine converged", async (t) => {
  const { client, os } = await open(t);
  const events = await collect(client.apply({ desired: labState(), operationId: id }));
  t.equal(events[0]?.kind?.$case, "operationStarted");
  t.match(events[0], { operationId: id, sequence: 1, kind: { value: { holder: /^alice from 127\.0\.0\.1:\d+$/ } } });
  t.match(events.at(-1), { kind: { $case: "operationFinished", value: { error: undefined } } });
  const counted = events.filter(({ kind }) => kind?.$case !== "stepProgress");
  t.strictSame(
    counted.map(({ sequence }) => sequence),
    counted.map((_, index) => index + 1),
  );
  t.equal(os.files.text("/var/lib/kubernetes/ca.pem"), "content of ca.pem");
  t.match(await answer((done) => client.getInfo({}, done)), {
    operation: { id, state: OperationState.OPERATION_STATE_SUCCEEDED },
  });
  const changes = () => os.changes().filter((change) => !change.includes(" /var/lib/khw-agent/"));
  const before = changes();
  const again = await collect(client.apply({ desired: labState(), operationId: otherId }));
  t.match(again.at(-1), { kind: { value: { changedSteps: 0 } } });
  t.strictSame(changes(), before);
});

t.test("no event, log line or record contains a credential", async (t) => {
  const { agent, client, os } = await open(t);
  os.mirror.clear();
  const events = await collect(client.apply({ desired: labState(), operationId: id }));
  const failed = events.filter(
    ({ kind }) => kind?.$case === "stepFinished" && kind.value.outcome === StepOutcome.STEP_OUTCOME_FAILED,
  );
  // On a fresh machine, the other programs are downloaded only after kube-apiserver.
  t.equal(failed.length, 1);
  const told = [
    JSON.stringify(events),
    ...agent.lines,
    os.files.text("/var/lib/khw-agent/operation"),
    os.files.text("/var/lib/khw-agent/history"),
  ].join("\n");
  t.notMatch(told, "content of");
  t.notMatch(told, Buffer.from("content of").toString("base64").slice(0, 12));
});

t.test(
  "an operation continues without its caller, blocks other operations, and accepts callers that reattach",
  async (t) => {
    const { os, begun, finish } = slowMachine();
    const { agent, client } = await open(t, os);
    const mallory = clientOf(agent, await agent.identity("admin", "mallory"));
    t.teardown(() => mallory.close());

    const first = client.apply({ desired: labState(), operationId: id });
    const cancelled = refusal(first);
    const progress = await begun;
    first.cancel();
    t.match(await cancelled, { code: status.CANCELLED });

    const busy = await refusal(mallory.apply({ desired: labState(), operationId: otherId }));
    t.match(busy, {
      code: status.ABORTED,
      khw: {
        code: "BUSY",
        message: /^the node is busy: alice from 127\.0\.0\.1:\d+ has held the machine lock since 20/,
      },
    });
    t.match(await answer((done) => client.getInfo({}, done)), {
      operation: { id, state: OperationState.OPERATION_STATE_RUNNING },
    });

    const attached = client.apply({ desired: labState(), operationId: id });
    const watched = mallory.watchOperation({ operationId: "" });
    await Promise.all([once(attached, "metadata"), once(watched, "metadata")]);
    progress("Unpacking nginx");
    finish();
    const [events, seen] = await Promise.all([collect(attached), collect(watched)]);
    const steps = (of: readonly Event[]) => of.filter(({ kind }) => kind?.$case !== "stepProgress");
    t.equal(events[0]?.sequence, 1, "the stream starts with the first event");
    t.match(events.at(-1), { kind: { $case: "operationFinished", value: { error: undefined } } });
    t.strictSame(steps(seen), steps(events));
    t.strictSame(
      steps(await collect(mallory.watchOperation({ operationId: id }))),
      steps(events),
      "the finished operation's steps can still be read",
    );
  },
);

t.test("the call Prepare downloads the programs without installing them or recording a desired state", async (t) => {
  const { agent, client, os } = await open(t);
  const viewer = clientOf(agent, await agent.identity("viewer"));
  t.teardown(() => viewer.close());
  t.match(await refusal(viewer.prepare({ desired: labState(), operationId: id })), {
    khw: { code: "PERMISSION_DENIED" },
  });
  t.match(await refusal(client.prepare({ desired: labState(), operationId: "1" })), {
    khw: { code: "INVALID_ARGUMENT" },
  });
  t.strictSame(os.changes(), []);
  const events = await collect(client.prepare({ desired: labState(), operationId: id }));
  t.match(events.at(-1), { kind: { value: { error: undefined } } });
  t.ok(os.files.text("/usr/local/lib/khw/kubernetes/v1.21.0/kube-apiserver"));
  t.equal(await os.files.stat("/usr/local/bin/kube-apiserver"), undefined);
  t.match(await failure((done) => client.getPlan({}, done)), { khw: { code: "NO_STATE" } });
  t.equal((await answer<GetInfoResponse>((done) => client.getInfo({}, done))).operation, undefined);
  const history = (await agent.node()).history;
  await history.settled();
  t.match(events[0]?.operationId, id);
});

t.test("an operation continues after its caller's connection breaks", async (t) => {
  const { os, begun, finish } = slowMachine();
  const { agent, client } = await open(t, os);
  const leaving = clientOf(agent, await agent.identity("admin"));
  const stream = leaving.apply({ desired: labState(), operationId: id });
  stream.on("error", () => {});
  stream.resume();
  await begun;
  leaving.close();
  stream.cancel();
  finish();
  const events = await collect(client.watchOperation({ operationId: id }));
  t.match(events.at(-1), { kind: { value: { error: undefined } } });
});

t.test("a stopping agent reports the interruption to its callers before it exits", async (t) => {
  const { os, begun, finish } = slowMachine();
  const { agent, client } = await open(t, os);
  const stream = collect(client.apply({ desired: labState(), operationId: id }));
  await begun;
  const stopped = agent.stop(new KhwError("INTERRUPTED", "the agent was stopped"));
  finish();
  const events = await stream;
  await stopped;
  t.match(events.at(-1), {
    kind: { $case: "operationFinished", value: { error: { code: "INTERRUPTED", message: "the agent was stopped" } } },
  });
});

t.test("an invalid request is refused with the name of the invalid field, and nothing is written", async (t) => {
  const { agent, client, os } = await open(t);
  const state = labState();
  const { cluster } = state;
  if (cluster === undefined) throw new Error("the fixture has no cluster");
  const flag = (value: string): Partial<DesiredState> => ({
    flags: { "kube-apiserver": { set: { "event-ttl": value }, remove: [] } },
  });
  const credential = (changes: object): Partial<DesiredState> => ({
    credentials: state.credentials.map((given) => (given.name === "ca-key.pem" ? { ...given, ...changes } : given)),
  });
  const sha256 = createHash("sha256").update("x").digest("hex");
  const cases: readonly (readonly [Partial<DesiredState>, RegExp])[] = [
    [{ kubernetesVersion: "v9.99.0" }, /^kubernetes_version: .*v9\.99\.0/],
    [{ kubernetesVersion: "1.21.0; rm -rf /" }, /^kubernetes_version: .*rm -rf/],
    [{ kubernetesVersion: "v1.21.0/../../etc" }, /^kubernetes_version: /],
    [{ node: "controller-9" }, /^node: /],
    [{ node: "../controller-0" }, /^node: /],
    [{ cluster: { ...cluster, clusterCidr: "10.32.0.0/16" } }, /^cluster\.service_cidr: .* overlaps/],
    [{ cluster: { ...cluster, publicAddress: "203.0.113.10\n" } }, /^cluster\.public_address: /],
    [{ cluster: { ...cluster, etcdServers: ["https://10.240.0.10:2379 --x=y"] } }, /^cluster\.etcd_servers: /],
    [flag("1h\nExecStartPost=/bin/sh"), /^flags\.kube-apiserver\.event-ttl: .*control character/],
    [flag("1h' --insecure-port='8080"), /^flags\.kube-apiserver\.event-ttl: .*quotation/],
    [{ flags: { "kube-apiserver": { set: { "v=2 --x": "" }, remove: [] } } }, /^flags\.kube-apiserver: /],
    [{ flags: { kubelet: { set: {}, remove: [] } } }, /^flags: "kubelet"/],
    [credential({ content: Buffer.from("not its digest's") }), /^credentials\.ca-key\.pem: the content does not match/],
    [credential({ name: "../../../etc/shadow" }), /^credentials: .* is not one of the cluster's credential files/],
    [credential({ sha256: sha256.toUpperCase() }), /^credentials\.ca-key\.pem: .* is not a SHA-256/],
    [credential({ content: undefined }), /^credentials\.ca-key\.pem: has no content/],
    [{ credentials: state.credentials.slice(1) }, /^credentials\.ca\.pem: is missing/],
    [{ binaries: { mirrors: ["ftp://mirror"], proxy: "", caPem: "", sha256: {} } }, /^binaries\.mirrors: /],
    [
      { binaries: { mirrors: ["https://m"], proxy: "socks://me:hunter2@proxy:1", caPem: "", sha256: {} } },
      /^binaries\.proxy: "socks:\/\/proxy:1" is not a URL with the scheme http or https/,
    ],
    [{ binaries: { mirrors: [], proxy: "", caPem: "", sha256: {} } }, /^binaries\.mirrors: is empty/],
  ];
  for (const [changes, message] of cases) {
    const refused = await refusal(client.apply({ desired: labState(changes), operationId: id }));
    t.match(refused, { code: status.INVALID_ARGUMENT, khw: { code: "INVALID_ARGUMENT", message } });
  }
  t.match(await refusal(client.apply({ desired: undefined, operationId: id })), { khw: { code: "INVALID_ARGUMENT" } });
  for (const operationId of ["", "../../x", `${id}\n`]) {
    t.match(await refusal(client.apply({ desired: state, operationId })), {
      khw: { code: "INVALID_ARGUMENT", message: "operation_id: is not a UUID" },
    });
  }
  t.strictSame(os.changes(), []);
  t.notMatch(agent.lines.join("\n"), /not its digest's|hunter2/);
  t.match(await answer((done) => client.getInfo({}, done)), { operation: undefined });
});

t.test("Preflight findings reach the client with code, message, hint and node", async (t) => {
  const { client, os } = await open(t);
  os.listeners.set(80, { pid: 4, name: "apache2" });
  os.files.put("/var/lib/kubernetes/encryption-config.yaml", "keys: [{name: key1, secret: b2xk}]");
  const { findings, clockUnixMillis } = await answer<{ findings: object[]; clockUnixMillis: number }>((done) =>
    client.preflight({ desired: labState() }, done),
  );
  t.match(findings, [
    { code: "PREFLIGHT_FAILED", message: /encryption keys in .*encryption-config\.yaml/, hint: /--credentials/ },
    { code: "PREFLIGHT_FAILED", message: "port 80 is in use by apache2 (pid 4)", hint: /nginx/, node: "controller-0" },
    { code: "PREFLIGHT_FAILED", message: /^etcd has no healthy majority/ },
  ]);
  t.equal(clockUnixMillis, os.clock.now());
});

t.test("invalid RBAC credentials are rejected as INVALID_ARGUMENT without appearing in the log", async (t) => {
  const { agent, client } = await open(t);
  const bytes = Buffer.from("my secret key");
  t.match(await failure((done) => client.applyRbac({ ca: bytes, certificate: bytes, key: bytes }, done)), {
    code: status.INVALID_ARGUMENT,
    khw: { code: "CREDENTIAL_INVALID" },
  });
  t.notMatch(agent.lines.join("\n"), "secret");
});

t.test("a response that cannot be serialized fails only that call, and the agent keeps serving", async (t) => {
  const os = labMachine();
  const machine = { read: async () => ({ ...(await os.machine.read()), cpus: Number.NaN }) };
  const { client } = await open(t, { ...os, machine });
  t.match(await failure((done) => client.getStatus({}, done)), { code: status.INTERNAL });
  t.match(await answer((done) => client.getInfo({}, done)), { agentVersion: "1.2.3" });
});

t.test("an oversized message is refused, and the agent keeps serving", async (t) => {
  const { client, os } = await open(t);
  const [given, ...others] = labState().credentials;
  if (given === undefined) throw new Error("the fixture has no credentials");
  const credentials = [{ ...given, content: Buffer.alloc(5 * 1024 * 1024) }, ...others];
  t.match(await refusal(client.apply({ desired: labState({ credentials }), operationId: id })), {
    code: status.RESOURCE_EXHAUSTED,
  });
  t.strictSame(os.changes(), []);
  t.match(await answer((done) => client.getInfo({}, done)), { agentVersion: "1.2.3" });
});

t.test("a slow caller receives every step but misses most progress events, so no backlog builds up", async (t) => {
  const { os, begun, finish } = slowMachine();
  const { client } = await open(t, os);
  const stream = client.apply({ desired: labState(), operationId: id }, new Metadata());
  stream.pause();
  const progress = await begun;
  const text = "x".repeat(1000);
  for (let round = 0; round < 100; round++) {
    for (let line = 0; line < 500; line++) progress(`${text} ${round} ${line}`);
    await setTimeout(1);
  }
  finish();
  const events = await collect(stream);
  t.ok(events.length < 10_000, `fewer than 10000 of 50000 events are sent: ${events.length}`);
  t.strictSame(
    new Set(kinds(events)),
    new Set(["operationStarted", "stepStarted", "stepProgress", "stepFinished", "operationFinished"]),
  );
  const [started] = events;
  const steps = started?.kind?.$case === "operationStarted" ? started.kind.value.steps.length : 0;
  t.equal(events.filter(({ kind }) => kind?.$case === "stepFinished").length, steps);
});

t.test(
  "the audit log records each call's caller, method and result, and refused calls do not displace other entries",
  async (t) => {
    const { agent, client } = await open(t);
    const bob = await agent.identity("viewer", "bob");
    const viewer = clientOf(agent, bob);
    t.teardown(() => viewer.close());
    await failure((done) => client.restartComponent({ component: "nonsense", reason: "secret reason" }, done));
    await answer((done) => client.setMaintenance({ drained: true }, done));
    await answer((done) => client.getInfo({}, done));
    for (let time = 0; time < 50; time++) {
      t.match(await failure((done) => viewer.setMaintenance({ drained: false }, done)), {
        khw: { code: "PERMISSION_DENIED" },
      });
      t.match(await refusal(viewer.watchOperation({ operationId: id })), { khw: { code: "INVALID_ARGUMENT" } });
    }
    const request = { sinceUnixMillis: 0, limit: 0 };
    t.match(await refusal(viewer.listAuditEntries(request)), { khw: { code: "PERMISSION_DENIED" } });
    const entries = await collect(client.listAuditEntries(request));
    const alice = {
      caller: "alice",
      role: "admin",
      serialNumber: /^[0-9A-F]{8,}$/,
      address: /^127\.0\.0\.1:\d+$/,
      count: 1,
    };
    const serialNumber = new X509Certificate(bob.certificate).serialNumber;
    const refused = { caller: "bob", role: "viewer", serialNumber, count: 1 };
    t.equal(entries.length, 5);
    t.hasStrict(entries.map(({ method, result }) => `${method} ${result}`).toSorted(), [
      "AgentService/ListAuditEntries PERMISSION_DENIED",
      "AgentService/RestartComponent INVALID_ARGUMENT",
      "AgentService/SetMaintenance OK",
      "AgentService/SetMaintenance PERMISSION_DENIED",
      "AgentService/WatchOperation INVALID_ARGUMENT",
    ]);
    const of = (caller: string) => entries.filter((entry) => entry.caller === caller);
    t.match(of("alice"), [
      { ...alice, target: "component=nonsense", message: /nonsense/ },
      { ...alice, target: "drained=true", message: "" },
    ]);
    t.match(of("bob"), [refused, refused, refused]);
    t.equal(agent.lines.filter((line) => line.startsWith('audit: "bob" (viewer, certificate ')).length, 3);
    const files = ["audit", "audit-refused"].map((name) => agent.auditFiles.text(`/var/lib/khw-agent/${name}`));
    t.match(files[0], "alice");
    t.notMatch(files[0], "bob");
    t.match(files[1], "bob");
    t.notMatch([...files, ...agent.lines].join("\n"), "secret reason");
  },
);

t.test(
  "when a certificate expires, the caller's open streams end for this reason, and new calls are refused",
  async (t) => {
    const { agent } = await open(t);
    const seconds = 4;
    const identity = await issue(
      agent.authority,
      { name: "brief", role: "admin", days: 1 },
      new Date(Date.now() - 86_400_000 + seconds * 1_000),
    );
    const brief = clientOf(agent, identity);
    t.teardown(() => brief.close());
    const watch = refusal(brief.watchStatus({}));
    const operation = refusal(brief.listEvents({ sinceUnixMillis: 0, limit: 0, follow: true }));
    t.match(await answer((done) => brief.getInfo({}, done)), { agentVersion: "1.2.3" });
    const ended = {
      code: status.UNAUTHENTICATED,
      khw: { message: /of brief expired at 20/, hint: /the agent's clock says 20/ },
    };
    t.match(await watch, ended);
    t.match(await operation, ended);
    t.match(await failure((done) => brief.setMaintenance({ drained: true }, done)), ended);
  },
);

t.test("unauthorized callers that never read responses leak no sockets", async (t) => {
  const { agent, client } = await open(t);
  await answer((done) => client.getInfo({}, done));
  const descriptors = () => readdirSync("/proc/self/fd").length;
  const before = descriptors();
  // The raw bytes are an HTTP/2 preface, settings, and calls with literal headers.
  const headers = Buffer.from([0x83, 0x87, 0x84]);
  const call = (index: number): Buffer => {
    const header = Buffer.from([0, 0, headers.length, 1, 5, 0, 0, 0, 0]);
    header.writeUInt32BE(2 * index + 1, 5);
    return Buffer.concat([header, headers]);
  };
  const opening = [Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0])];
  const attack = Buffer.concat([...opening, ...Array.from({ length: 1_000 }, (_, index) => call(index))]);
  for (let count = 0; count < 30; count++) {
    const socket = connect({ port: agent.port, host: "127.0.0.1", rejectUnauthorized: false, ALPNProtocols: ["h2"] });
    socket.on("error", () => socket.destroy()).pause();
    await once(socket, "secureConnect");
    socket.write(attack, () => socket.destroy());
  }
  await eventually("all sockets are closed", () => descriptors() <= before);
  t.match(await answer((done) => client.getInfo({}, done)), { agentVersion: "1.2.3" });
  t.equal(
    agent.lines.filter((line) => line.includes("the caller presents no certificate")).length,
    1,
    "the agent logs one line",
  );
});
