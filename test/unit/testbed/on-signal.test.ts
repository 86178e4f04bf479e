import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import t from "tap";
import { onSignal } from "../../testbed/on-signal.ts";

const source = join(import.meta.dirname, "../../testbed/on-signal.ts");

/**
 * Runs a program that prints that it has started and then waits. Ends it with a signal. Returns the program's output
 * and the signal that ended the program.
 */
async function ended(body: string, signal: NodeJS.Signals): Promise<{ readonly said: string; readonly by: unknown }> {
  const program = `import { onSignal } from ${JSON.stringify(source)};
    const say = async (text) => void process.stdout.write(text);
    ${body}
    setInterval(() => {}, 1000);
    await say("ready ");`;
  const { NODE_OPTIONS: _, ...env } = process.env;
  const argv = ["--input-type=module-typescript", "--eval", program];
  const child = spawn(process.execPath, argv, { env, stdio: ["ignore", "pipe", "inherit"] });
  let said = "";
  child.stdout.on("data", (chunk: Buffer) => {
    if (said === "") child.kill(signal);
    said += chunk.toString();
  });
  const [, by]: unknown[] = await once(child, "close");
  return { said, by };
}

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  t.test(`${signal} ends the process after the cleanup task`, async (t) => {
    t.same(await ended('onSignal(() => say("cleaned up"));', signal), { said: "ready cleaned up", by: signal });
  });
}

t.test("the process still ends if the cleanup task fails", async (t) => {
  const failing = 'onSignal(() => Promise.reject(new Error("no"))); process.on("unhandledRejection", () => {});';
  t.match(await ended(failing, "SIGTERM"), { by: "SIGTERM" });
});

t.test("a released cleanup task does not run", async (t) => {
  t.same(await ended('onSignal(() => say("cleaned up")).release();', "SIGTERM"), { said: "ready ", by: "SIGTERM" });
});

t.test("released cleanup tasks leave no signal listeners behind", (t) => {
  const count = (): number => process.listenerCount("SIGINT") + process.listenerCount("SIGTERM");
  const before = count();
  const guards = Array.from({ length: 4 }, () => onSignal(async () => {}));
  t.equal(count(), before + 8);
  for (const guard of guards) guard.release();
  t.equal(count(), before);
  t.end();
});
