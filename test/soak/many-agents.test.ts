import { fork } from "node:child_process";
import { once } from "node:events";
import t, { type Test } from "tap";
import { startAgents, type Transport } from "../fixtures/many-agents.ts";
import { watchProcessors } from "../fixtures/processors.ts";

/**
 * Runs 1,000 agents in one process, while the client in another process watches them. Without TLS, all rows must appear
 * within two seconds. A thousand mutual TLS handshakes alone keep two processors busy for more than two seconds.
 * Therefore, with TLS, the test checks only the client's CPU time. The measurements are in the test's output and in
 * docs/soak.md.
 */
const count = 1_000;
const changes = 100;

interface Measured {
  readonly rowsMillis: number;
  readonly rowsCpuMillis: number;
  readonly rssBefore: number;
  readonly rss: number;
  /** The size of the heap after garbage collection, including the external memory that it references. */
  readonly held: number;
}

t.test(`${count} agents can be watched by one client without TLS`, { timeout: 300_000 }, async (t) => {
  const { rowsMillis } = await watchAll(t, "no TLS");
  t.ok(rowsMillis < 2_000, "all rows are shown within two seconds");
});

t.test(`${count} agents can be watched by one client over mutual TLS`, { timeout: 300_000 }, async (t) => {
  const { rowsCpuMillis } = await watchAll(t, "mutual TLS");
  t.ok(rowsCpuMillis < 12_000, "the client uses less than 12 s of CPU time until all rows are shown");
});

/** Watches until all rows exist, and then continues while all rows change. Asserts that the memory usage is bounded. */
async function watchAll(t: Test, transport: Transport): Promise<Measured> {
  const many = await startAgents(count, transport);
  t.teardown(() => many[Symbol.asyncDispose]());
  const program = new URL("../fixtures/watching-client.ts", import.meta.url);
  const watcher = fork(program, { env: { PATH: process.env["PATH"] }, execArgv: ["--expose-gc"] });
  t.teardown(() => watcher.kill("SIGKILL"));
  const ended = once(watcher, "exit").then(() => Promise.reject(new Error("the client ended")));
  ended.catch(() => {});
  const next = async (): Promise<Measured> => {
    const [message]: Measured[] = await Promise.race([once(watcher, "message"), ended]);
    if (message === undefined) throw new Error("an empty message");
    return message;
  };
  const agentsBefore = await many.cpuMillis();
  const processors = watchProcessors();
  watcher.send({ transport, ca: many.ca, admin: many.admin, agents: many.agents });
  const rows = await next();
  const { busyMillis, allMillis } = processors();
  const agentsMillis = (await many.cpuMillis()) - agentsBefore;
  const others = Math.max(0, (busyMillis - agentsMillis - rows.rowsCpuMillis) / allMillis);
  t.comment(
    `all rows after ${rows.rowsMillis} ms; CPU of the client ${rows.rowsCpuMillis} ms, of the agents ${agentsMillis} ms`,
  );
  t.comment(`other processes used ${Math.round(others * 100)} % of the processors meanwhile`);

  const began = Date.now();
  const seen = next();
  await many.change(changes);
  const first = await seen;
  const again = next();
  await many.change(changes);
  const second = await again;
  t.comment(`2 x ${count * changes} changes after ${Date.now() - began} ms`);
  const megabytes = (bytes: number) => Math.round(bytes / 1e6);
  const list = (of: "rss" | "held") => [rows, first, second].map((measured) => megabytes(measured[of])).join(", ");
  t.comment(`MB of RSS: ${megabytes(rows.rssBefore)}, ${list("rss")}; kept: ${list("held")}`);
  t.ok(second.held - first.held < 20e6, "another round of changes uses no additional memory");
  t.ok(second.rss < 1.5e9, "the process uses less than 1.5 GB");
  return rows;
}
