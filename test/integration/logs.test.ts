import t, { type Test } from "tap";
import { journals } from "../../client/config/journals.ts";
import type { LogEntry } from "../../proto/gen/khw/agent/v1/agent.ts";
import { eventually } from "../fixtures/eventually.ts";
import { type Script, type ScriptedCluster, startScripted } from "../fixtures/scripted-agents.ts";
import { wellStatus } from "../fixtures/status.ts";

const began = Date.parse("2026-11-23T12:00:00.000Z");

function line(millis: number, text: string, changes: Partial<LogEntry> = {}): LogEntry {
  return { timeUnixMillis: began + millis, text, priority: 6, pid: 1, ...changes };
}

async function start(t: Test, logs: Readonly<Record<string, Script["logs"]>>): Promise<ScriptedCluster> {
  const scripts = Object.entries(logs).map(
    ([name, answer]) => [name, { status: wellStatus(name), ...(answer && { logs: answer }) }] as const,
  );
  const cluster = await startScripted(Object.fromEntries(scripts));
  t.teardown(() => cluster[Symbol.asyncDispose]());
  return cluster;
}

/** Creates logs that contain the given lines for one component and no lines for the others. */
const of =
  (component: string, ...lines: LogEntry[]): Script["logs"] =>
  (request) =>
    request.component === component ? lines : [];

t.test(
  "log lines of all nodes and components are merged by time, and each line names its node and component",
  async (t) => {
    const cluster = await start(t, {
      "controller-0": (request) =>
        request.component === "etcd"
          ? [line(1, "one"), line(4, "four")]
          : request.component === "nginx"
            ? [line(3, "three")]
            : [],
      "controller-1": of("khw-agent", line(2, "two"), line(5, "five")),
    });
    const client = cluster.client(["logs"]);
    t.equal(await client.code, 0);
    t.same(client.out().trim().split("\n"), [
      "2026-11-23T12:00:00.001Z controller-0 etcd                     one",
      "2026-11-23T12:00:00.002Z controller-1 khw-agent                two",
      "2026-11-23T12:00:00.003Z controller-0 nginx                    three",
      "2026-11-23T12:00:00.004Z controller-0 etcd                     four",
      "2026-11-23T12:00:00.005Z controller-1 khw-agent                five",
    ]);
    const asked = cluster.agents.flatMap((agent) => agent.asked);
    t.equal(asked.length, 2 * journals.length);
    t.match(asked[0], { lines: 100, sinceUnixMillis: 0, follow: false });
  },
);

t.test("logs accepts nodes and a component as arguments, and --since and --lines as options", async (t) => {
  const cluster = await start(t, { "controller-0": undefined, "controller-1": undefined });
  const [first, second] = cluster.agents;
  t.equal(await cluster.client(["logs", "controller-1", "nginx", "--since", "10m"]).code, 0);
  t.equal(first?.asked.length, 0);
  t.match(second?.asked, [{ component: "nginx", lines: 0 }]);
  const since = second?.asked[0]?.sinceUnixMillis ?? 0;
  t.ok(Math.abs(Date.now() - 600_000 - since) < 60_000);
  t.equal(await cluster.client(["logs", "kube-scheduler", "--lines", "7"]).code, 0);
  t.match(first?.asked, [{ component: "kube-scheduler", lines: 7, sinceUnixMillis: 0 }]);
  const refused: readonly [argv: readonly string[], hint: RegExp][] = [
    [["logs", "controller-9"], /the nodes are: controller-0, controller-1/],
    [["logs", "--since", "yesterday"], /10m/],
  ];
  for (const [argv, hint] of refused) {
    await t.rejects(cluster.client(argv).code, { code: "INVALID_ARGUMENT", hint }, argv.join(" "));
  }
  await t.rejects(cluster.client(["logs", "controller-0", "kube-schduler"]).code, { message: /kube-scheduler/ });
  await t.rejects(cluster.client(["logs", "--lines", "-1"]).code, { code: "INVALID_ARGUMENT" });
});

t.test("log lines are sanitized, and only terminal output is colored", async (t) => {
  const evil = line(1, "\u{1b}[2Jgone\u{7}\u{9b}31m\rover\u{202e}txt", { priority: 3 });
  const cluster = await start(t, { "controller-0": of("nginx", evil) });
  const argv = ["logs", "nginx"];
  const plain = cluster.client(argv);
  t.equal(await plain.code, 0);
  const text = "\u{fffd}[2Jgone\u{fffd}\u{fffd}31m\u{fffd}over\u{fffd}txt";
  t.equal(plain.out(), `2026-11-23T12:00:00.001Z controller-0 nginx  ${text}\n`);
  const coloured = cluster.client(argv, { terminal: true });
  t.equal(await coloured.code, 0);
  t.ok(coloured.out().includes(`\u{1b}[36mcontroller-0 nginx\u{1b}[39m  \u{1b}[31m${text}\u{1b}[39m`));
  const without = cluster.client(argv, { terminal: true, env: { NO_COLOR: "1" } });
  t.equal(await without.code, 0);
  t.equal(without.out(), plain.out());
});

t.test("logs reports an unreachable node with exit code 3, and fails only if no node responds", async (t) => {
  const cluster = await start(t, { "controller-0": of("nginx", line(1, "here")), "controller-1": undefined });
  await cluster.agents[1]?.stop();
  const client = cluster.client(["logs", "nginx"]);
  t.equal(await client.code, 3);
  t.match(client.out(), /here\n$/);
  t.match(client.err(), /^controller-1: no connection to the agent at .*\nhint: /);
  await cluster.agents[0]?.stop();
  await t.rejects(cluster.client(["logs"]).code, { code: "UNREACHABLE", message: /controller-0: no connection/ });
});

t.test("logs --follow continues after an agent's restart without repeating or losing a line", async (t) => {
  const written = [line(1, "one"), line(2, "two a"), line(2, "two b")];
  const cluster = await start(t, {
    "controller-0": (request) =>
      request.component === "nginx"
        ? written.filter(({ timeUnixMillis }) => timeUnixMillis >= request.sinceUnixMillis)
        : [],
  });
  const [agent] = cluster.agents;
  const client = cluster.client(["logs", "controller-0", "nginx", "-f"]);
  const shows = (text: string) =>
    eventually(
      `the output contains ${text}`,
      () => client.out().includes(text),
      () => client.out() + client.err(),
    );
  await shows("two b");
  agent?.pushLog("nginx", line(2, "two c"));
  written.push(line(2, "two c"));
  await shows("two c");
  await agent?.stop();
  written.push(line(2, "two d"), line(3, "three"));
  await agent?.start();
  await shows("three");
  client.interrupt();
  t.equal(await client.code, 0);
  const texts = client
    .out()
    .trim()
    .split("\n")
    .map((shown) => shown.split("nginx  ")[1]);
  t.same(texts, ["one", "two a", "two b", "two c", "two d", "three"]);
  t.match(client.err(), /^controller-0: .*\n(hint: .*\n)?the client keeps trying until the node answers\n/);
  await eventually("no stream is open", () => agent?.open() === 0);
});

t.test("logs as JSON prints one object per line", async (t) => {
  const cluster = await start(t, { "controller-0": of("etcd", line(1, "one")) });
  const client = cluster.client(["logs", "etcd", "-o", "json"]);
  t.equal(await client.code, 0);
  t.match(JSON.parse(client.out()), {
    time: "2026-11-23T12:00:00.001Z",
    node: "controller-0",
    component: "etcd",
    text: "one",
  });
});
