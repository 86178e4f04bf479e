import { stripVTControlCharacters } from "node:util";
import t, { type Test } from "tap";
import { CertificateState, DriftPolicy, Health, type GetStatusResponse } from "../../proto/gen/khw/agent/v1/agent.ts";
import { KhwError } from "../../proto/errors.ts";
import { eventually } from "../fixtures/eventually.ts";
import { startScripted, type ScriptedCluster } from "../fixtures/scripted-agents.ts";
import { component, wellStatus } from "../fixtures/status.ts";

const names = ["controller-0", "controller-1", "controller-2"];

async function start(
  t: Test,
  changes: Readonly<Record<string, Partial<GetStatusResponse>>> = {},
): Promise<ScriptedCluster> {
  const scripts = names.map((name) => [name, { status: wellStatus(name, changes[name]) }] as const);
  const cluster = await startScripted(Object.fromEntries(scripts));
  t.teardown(() => cluster[Symbol.asyncDispose]());
  return cluster;
}

const crashing = component("kube-apiserver", {
  activeState: "activating",
  health: Health.HEALTH_UNHEALTHY,
  reason: "it does not answer",
  restarts: 7,
  diagnosis: {
    cause: "port-in-use",
    message: "its port 6443 is taken by another process",
    remedy: "end what listens there: ss -ltnp 'sport = :6443'",
    lines: ["listen tcp 0.0.0.0:6443: bind: address already in use"],
  },
});

t.test("for a healthy cluster, status prints a short report that includes etcd and exits with code 0", async (t) => {
  const cluster = await start(t);
  const client = cluster.client(["status"]);
  t.equal(await client.code, 0);
  t.match(client.out(), /^controller-1 +etcd +active +v1\.21\.0 +0 +healthy$/m);
  t.match(client.out(), /All is well\.\n$/);
  t.ok(
    client
      .out()
      .split("\n")
      .every((line) => line.length <= 120),
    "every line fits into 120 columns",
  );
});

t.test("status shows the emulated release of a component as text and as JSON", async (t) => {
  const emulating = component("kube-apiserver", { version: "v1.32.1", emulatedVersion: "1.31" });
  const cluster = await start(t, { "controller-0": { components: [emulating] } });
  const text = cluster.client(["status"]);
  await text.code;
  t.match(text.out(), /^controller-0 +kube-apiserver +active +v1\.32\.1 as 1\.31 +0 +healthy$/m);
  const json = cluster.client(["status", "-o", "json"]);
  await json.code;
  t.match(JSON.parse(json.out()), { nodes: [{ components: [{ version: "v1.32.1", emulatedVersion: "1.31" }] }] });
});

t.test("status reports problems with their remedies and exits with code 1", async (t) => {
  const cluster = await start(t, {
    "controller-0": { components: [crashing, component("nginx", { enabled: false })] },
    "controller-1": {
      maintenance: {
        drained: true,
        holder: "alice from 192.0.2.7",
        sinceUnixMillis: Date.parse("2026-11-23T21:00:00Z"),
      },
      drift: {
        policy: DriftPolicy.DRIFT_POLICY_REPORT,
        checkedUnixMillis: 1,
        paused: "",
        steps: [
          {
            id: "unit/kube-scheduler",
            title: "the unit of kube-scheduler",
            drift: "the file differs",
            sinceUnixMillis: 1,
            repairs: 3,
            nextRepairUnixMillis: 0,
          },
        ],
      },
    },
  });
  await cluster.agents[2]?.stop();
  const client = cluster.client(["status"]);
  t.equal(await client.code, 1);
  const out = client.out();
  t.match(
    out,
    "✖ controller-0: kube-apiserver: its port 6443 is taken by another process\n    hint: end what listens there",
  );
  t.match(
    out,
    "✖ controller-0: nginx: is not enabled, so it will not start after a reboot\n    hint: to enable it, run khw-client bootstrap",
  );
  t.match(out, "✖ controller-1: maintenance: drained by alice from 192.0.2.7 at 2026-11-23 21:00:00");
  t.match(out, "hint: khw-client undrain controller-1");
  t.match(out, "✖ controller-1: unit/kube-scheduler: the file differs; it was repaired 3 times, but came back");
  t.match(out, "khw-client diff controller-1 shows the difference; drift is only reported here");
  t.match(
    out,
    /✖ controller-2: khw-agent: no connection to the agent at 127\.0\.0\.1:.*\n {4}hint: check that khw-agent is running/,
  );
  t.match(out, /^controller-2 +does not answer$/m);
});

const ends = (state: CertificateState, reason: string) => ({
  certificates: [
    { path: "/var/lib/kubernetes/kubernetes.pem", subject: "CN=kubernetes", expiresUnixMillis: 1, state, reason },
  ],
});

const verdicts: readonly [what: string, changes: Partial<GetStatusResponse>, code: number][] = [
  ["a certificate that expires within 30 days", ends(CertificateState.CERTIFICATE_STATE_WARNING, "ends in 20 days"), 0],
  ["a certificate that expires within 7 days", ends(CertificateState.CERTIFICATE_STATE_ERROR, "ends in 2 days"), 1],
  ["a component that is not enabled", { components: [component("etcd", { enabled: false })] }, 1],
  ["an unhealthy component", { components: [crashing] }, 1],
  ["a drained node", { maintenance: { drained: true, holder: "a", sinceUnixMillis: 1 } }, 1],
  ["an agent that has not checked its components yet", { components: [] }, 1],
];

for (const [what, changes, code] of verdicts) {
  t.test(`status exits with code ${code} for ${what}`, async (t) => {
    const cluster = await start(t, { "controller-1": changes });
    t.equal(await cluster.client(["status"]).code, code);
    t.equal(
      await cluster.client(["status", "controller-0,2"]).code,
      0,
      "status exits with code 0 for the other controllers",
    );
  });
}

t.test("the JSON and YAML outputs of status have the same content and name states with words", async (t) => {
  const cluster = await start(t, { "controller-0": { components: [crashing] } });
  const json = cluster.client(["status", "-o", "json"]);
  t.equal(await json.code, 1);
  const document: unknown = JSON.parse(json.out());
  t.match(document, {
    well: false,
    nodes: [
      { node: "controller-0", components: [{ health: "unhealthy", diagnosis: { cause: "port-in-use" } }] },
      {
        certificates: [{ state: "ok" }],
        drift: { policy: "repair" },
        maintenance: { drained: false },
        operation: null,
      },
      {},
    ],
    problems: [{ node: "controller-0", subject: "kube-apiserver", severity: "error" }],
  });
  const yaml = cluster.client(["status", "--output", "yaml"]);
  t.equal(await yaml.code, 1);
  const { parse } = await import("yaml");
  t.same(parse(yaml.out()), document);
});

t.test("status -o wide adds the columns PID and SINCE", async (t) => {
  const cluster = await start(t);
  const client = cluster.client(["status", "-o", "wide", "controller-2"]);
  t.equal(await client.code, 0);
  t.match(client.out(), /^NODE +COMPONENT +STATE +VERSION +PID +SINCE/m);
  t.match(client.out(), / 4711 +2026-11-23 20:00:00 /);
  t.notMatch(client.out(), "controller-1");
});

t.test("status refuses a node that is not a controller of the cluster", async (t) => {
  const cluster = await start(t);
  await t.rejects(cluster.client(["status", "controller-7"]).code, {
    code: "INVALID_ARGUMENT",
    hint: "the nodes are: controller-0, controller-1, controller-2",
  });
  await t.rejects(cluster.client(["logs", "-o", "yaml"]).code, {
    code: "INVALID_ARGUMENT",
    hint: "use one of text, json",
  });
});

t.test("Ctrl-C cancels a running status", async (t) => {
  const cluster = await start(t);
  const client = cluster.client(["status"], { signal: AbortSignal.abort(new KhwError("CANCELLED", "ended")) });
  await t.rejects(client.code, { code: "CANCELLED" });
});

t.test("status --watch without a terminal prints a line per change and exits with code 0 on Ctrl-C", async (t) => {
  const cluster = await start(t);
  const client = cluster.client(["status", "--watch"]);
  const shows = (text: string | RegExp) =>
    eventually(
      `the output contains ${text}`,
      () => (typeof text === "string" ? client.out().includes(text) : text.test(client.out())),
      () => client.out(),
    );
  for (const name of names) await shows(`${name}: 5 of 5 components are healthy\n`);
  const [first, second] = cluster.agents;
  first?.change({ components: [crashing] });
  await shows("controller-0: kube-apiserver: its port 6443 is taken by another process (end what listens there");
  first?.change({ components: [component("kube-apiserver", { pid: 99 })] });
  await shows("controller-0: kube-apiserver: restarted as process 99\n");
  await shows("controller-0: kube-apiserver: is OK again\n");
  await second?.stop();
  await shows(/controller-1: does not answer: /);
  await second?.start();
  await shows("controller-1: answers again\n");
  client.interrupt();
  t.equal(await client.code, 0);
  await eventually("no stream is open", () => cluster.agents.every((agent) => agent.open() === 0));
});

t.test("status --watch as JSON prints one object per line", async (t) => {
  const cluster = await start(t);
  const client = cluster.client(["status", "-w", "-o", "json", "controller-0"]);
  await eventually("the first document is printed", () => client.out().endsWith("\n"));
  cluster.agents[0]?.change({ components: [crashing] });
  await eventually("the change is printed", () => client.out().includes('"change"'));
  client.interrupt();
  t.equal(await client.code, 0);
  const lines = client.out().trim().split("\n");
  t.equal(lines.length, 2);
  const [full, change]: unknown[] = lines.map((line) => JSON.parse(line));
  t.match(full, {
    time: /Z$/,
    kind: "status",
    node: "controller-0",
    status: { components: [{ name: "etcd" }, {}, {}, {}, {}] },
  });
  t.match(change, {
    kind: "change",
    node: "controller-0",
    change: { components: [{ name: "kube-apiserver", health: "unhealthy" }] },
  });
});

t.test(
  "status --watch on a terminal redraws in place, lists the worst node first, and fits the terminal's height",
  async (t) => {
    const cluster = await start(t);
    let frames: string[] = [];
    const client = cluster.client(["status", "--watch"], {
      terminal: true,
      size: () => ({ rows: 12, columns: 60 }),
      write: (text) => void frames.push(text),
    });
    const last = () => stripVTControlCharacters(frames.at(-1) ?? "");
    await eventually("all rows are shown", () => last().includes("3 healthy"), last);
    frames = [];
    cluster.agents[2]?.change({ components: [crashing] });
    await eventually("the change is shown", () => last().includes("1 unhealthy"), last);
    const lines = last().trimEnd().split("\n");
    t.ok(lines.length < 12 && lines.every((line) => line.length <= 60), last());
    t.match(lines[2], /^✖ controller-2 {2}4 of 5 healthy/);
    t.match(lines[3], /^ {4}kube-apiserver: its port 6443/);
    const esc = "\u{1b}";
    t.ok(
      frames.every((frame) => !frame.includes(`${esc}[2J`)),
      "the screen is never cleared",
    );
    t.ok(frames[0]?.includes(`${esc}[`), "the cursor moves back to the first line");
    client.interrupt();
    t.equal(await client.code, 0);
    t.equal(frames.at(-1), `${esc}[?25h`, "the cursor is shown again at the end");
  },
);
