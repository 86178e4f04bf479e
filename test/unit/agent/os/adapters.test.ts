import { once } from "node:events";
import { spawn } from "node:child_process";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { stat } from "node:fs/promises";
import { createServer } from "node:net";
import { setTimeout } from "node:timers/promises";
import t from "tap";
import { createClock } from "../../../../agent/os/clock.ts";
import { coalesce } from "../../../../agent/os/coalesce.ts";
import { findListeners } from "../../../../agent/os/listener.ts";
import { createMachineFacts } from "../../../../agent/os/machine.ts";
import { readProcess } from "../../../../agent/os/process.ts";
import { run } from "../../../../agent/os/run.ts";
import { parseUnitName } from "../../../../agent/os/systemd.ts";
import { listening } from "../../../fakes/mirror.ts";

const never = new AbortController().signal;

t.test("a delay ends after the given time, or rejects with the reason of the abort", async (t) => {
  const clock = createClock();
  const start = clock.now();
  await clock.delay(20, never);
  t.ok(clock.now() - start >= 19);
  const reason = new Error("stop");
  const controller = new AbortController();
  const delay = clock.delay(60_000, controller.signal);
  controller.abort(reason);
  await t.rejects(delay, reason);
});

t.test("coalesced calls that are made during a run share the next run, never the current run", async (t) => {
  let runs = 0;
  let atOnce = 0;
  const once = coalesce(async () => {
    runs += 1;
    atOnce += 1;
    t.equal(atOnce, 1);
    await setTimeout(10);
    atOnce -= 1;
    if (runs === 1) throw new Error("the first fails");
  });
  const first = once();
  const rest = [once(), once(), once()];
  await t.rejects(first, { message: "the first fails" });
  await Promise.all(rest);
  t.equal(runs, 2);
  await once();
  t.equal(runs, 3);
});

t.test("a program runs without a shell in a clean environment, and its last output lines are kept", async (t) => {
  process.env["KHW_SECRET"] = "hunter2";
  // tap adds its own variables to every process that a test starts. One of these variables has a line for each test
  // file.
  const { code, lines } = await run(["env"], { signal: never, keep: 10_000 });
  delete process.env["KHW_SECRET"];
  t.equal(code, 0);
  t.match(new Set(lines), new Set(["LC_ALL=C.UTF-8", "LANGUAGE=", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"]));
  t.notOk(lines.some((line) => line.startsWith("KHW_SECRET") || line.startsWith("HOME")));
  t.same((await run(["echo", "$(id); *"], { signal: never })).lines, ["$(id); *"]);
  t.same((await run(["seq", "1000"], { signal: never, keep: 2 })).lines, ["999", "1000"]);
  t.equal((await run(["sh", "-c", "exit 7"], { signal: never })).code, 7);
  t.equal((await run(["sh", "-c", "kill -TERM $$"], { signal: never })).code, 143);
  await t.rejects(run(["/no/such/program"], { signal: never }), { code: "ENOENT" });
});

t.test("a program is killed when the signal aborts", async (t) => {
  const reason = new Error("stop");
  const controller = new AbortController();
  const sleeping = run(["sleep", "60"], { signal: controller.signal });
  controller.abort(reason);
  await t.rejects(sleeping, reason);
});

t.test("a process is reported together with its initial environment and the inode of its program", async (t) => {
  const child = spawn("/bin/sleep", ["60"], { env: { KHW_INPUTS: "sha256:1=2" } });
  t.teardown(() => child.kill("SIGKILL"));
  await once(child, "spawn");
  const { ino, dev } = await stat("/bin/sleep", { bigint: true });
  t.match(await readProcess(child.pid ?? 0), {
    environment: { KHW_INPUTS: "sha256:1=2" },
    inode: ino,
    device: dev,
  });
  child.kill("SIGKILL");
  await once(child, "exit");
  t.equal(await readProcess(child.pid ?? 0), undefined);
});

t.test("the listeners on several ports are found in one search", async (t) => {
  const ports = await Promise.all([0, 1].map(() => listening(t, createServer(), "127.0.0.1")));
  const found = await findListeners([...ports, 1]);
  t.strictSame(new Set(found.keys()), new Set(ports));
  for (const { pid } of found.values()) t.equal(pid, process.pid);
});

for (const address of ["127.0.0.1", "::1", "::"]) {
  t.test(`the process that listens on ${address} is found`, async (t) => {
    const server = createServer();
    const port = await listening(t, server, address);
    t.match((await findListeners([port])).get(port), { pid: process.pid });
    server.close();
    await once(server, "close");
    t.equal((await findListeners([port])).get(port), undefined);
  });
}

t.test("machine facts are plausible, and reading them again starts no program", async (t) => {
  let processes = 0;
  const count = (): void => void (processes += 1);
  subscribe("child_process", count);
  t.teardown(() => unsubscribe("child_process", count));
  const facts = createMachineFacts();
  const machine = await facts.read();
  t.ok(machine.cpus > 0 && machine.uptimeSeconds > 0);
  t.ok(machine.memoryTotal > machine.memoryAvailable && machine.memoryAvailable > 0);
  t.ok(machine.diskTotal > machine.diskAvailable && machine.diskAvailable > 0);
  t.equal(machine.load.length, 3);
  t.match(machine.operatingSystem, /\w+ .*\d/);
  t.ok(processes > 0, "the first read of the system's name starts programs");
  processes = 0;
  await facts.read();
  t.equal(processes, 0, "the second read starts no program");
});

t.test("invalid unit names are refused", async (t) => {
  t.equal(parseUnitName("kube-apiserver.service"), "kube-apiserver.service");
  t.equal(parseUnitName("getty@tty1.service"), "getty@tty1.service");
  for (const name of ["", "nginx", "-x.service", "../a.service", "a b.service", "a'.service", "a.service\nb.service"]) {
    t.throws(() => parseUnitName(name), { code: "INVALID_ARGUMENT" }, JSON.stringify(name));
  }
});
