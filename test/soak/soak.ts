/**
 * Simulates a week of an agent's life. The real agent on a testbed machine checks all its steps 10,000 times, about
 * once for every minute of a week. During these checks, the machine's components crash 1,000 times. One client reads
 * the agent's streams. Another client opens streams, but never reads from them. Values that must not grow are sampled
 * and compared with their bounds. Takes half an hour or more. Writes docs/soak.md.
 *
 * usage: soak.ts [--short] [--reconciles N] [--flaps N]
 * --short    runs for only a few minutes, with 400 checks and 40 crashes. docs/soak.md stays unchanged. A short run
 *            consists only of the warm-up, so it reports growth but does not fail.
 *
 * Exit status: 0 if no value grew beyond its bound.
 */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";

import { machine } from "../bench/report.ts";
import { untilWell } from "../faults/measure.ts";
import { replaceGenerated } from "../faults/report.ts";
import { type Watch, watchNodes } from "../faults/watch.ts";
import { openScene } from "../fixtures/faults.ts";
import { plainEnvironment } from "../testbed/command.ts";
import type { Testbed, TestbedNode } from "../testbed/index.ts";
import { namespaceOf, namespacePath } from "../testbed/layout.ts";
import { sample } from "./sample.ts";
import { table, type Taken, verdicts } from "./verdict.ts";

const document = join(import.meta.dirname, "../../docs/soak.md");
/**
 * Out of this many crashes, a single crash hits the scheduler, because the scheduler starts slowly. All other crashes hit nginx.
 */
const schedulerEvery = 10;
/** The time limit for the recovery from one crash, or for one check. */
const patienceMillis = 120_000;

const { values } = parseArgs({
  options: { short: { type: "boolean", default: false }, reconciles: { type: "string" }, flaps: { type: "string" } },
});
const wanted = {
  reconciles: Number(values.reconciles ?? (values.short ? 400 : 10_000)),
  flaps: Number(values.flaps ?? (values.short ? 40 : 1000)),
};
const sampleMillis = values.short ? 2000 : 10_000;

const before = await machine();
await using scene = await openScene(1);
const { testbed, workstation } = scene;
const { code, stderr } = await scene.bootstrap();
if (code !== 0) throw new Error(`bootstrap ended with ${code}: ${stderr}`);
const node = scene.node(0);
await hasten(node);
await using watch = watchNodes(testbed, workstation);
using _ = listenDeaf(testbed, workstation.folder, node);
const reconciles = counted(watch);
await untilWell(node, watch, AbortSignal.timeout(patienceMillis));

const start = performance.now();
const seconds = (): number => (performance.now() - start) / 1000;
const samples: Taken[] = [];
const ending = new AbortController();
let flaps = 0;
try {
  await Promise.race([sampling(), living()]);
} finally {
  ending.abort();
}
await untilWell(node, watch, AbortSignal.timeout(patienceMillis));
samples.push({ at: seconds(), ...(await sample(node)) });

const list = verdicts(samples);
const restarts = new Set(samples.map(({ pid }) => pid)).size - 1;
const minutes = (seconds() / 60).toFixed(0);
const [first, last] = [samples[0], samples.at(-1)];
const cpu = (((last?.cpu ?? 0) - (first?.cpu ?? 0)) * 1000) / Math.max(1, reconciles());
const figures = `${table(list)}
${reconciles()} checks of all steps and ${flaps} crashes in ${minutes} minutes; ${samples.length} samples; restarts of the agent: ${restarts}.
A check took ${cpu.toFixed(0)} ms of processor time, including its share of the other work. Machine: ${before}.\n`;
process.stdout.write(figures);
const holds = list.every((verdict) => verdict.holds) && restarts === 0;
if (!holds) process.stderr.write("soak: a value grew, or the agent was restarted");
if (!values.short) {
  if (holds) await replaceGenerated(document, figures);
  else process.exitCode = 1;
}

/**
 * Makes the agent check its steps without pauses. Makes systemd restart crashed components immediately and without a
 * limit.
 */
async function hasten(node: TestbedNode): Promise<void> {
  const script = `
    printf 'supervision:\\n  reconcileSeconds: 0.05\\n  probeSeconds: 1\\n' >/etc/khw-agent/config.yaml
    for unit in nginx kube-scheduler; do
      mkdir -p /run/systemd/system/$unit.service.d
      printf '[Unit]\\nStartLimitIntervalSec=0\\n[Service]\\nRestart=always\\nRestartSec=50ms\\n' >/run/systemd/system/$unit.service.d/soak.conf
    done
    systemctl daemon-reload
    systemctl restart khw-agent`;
  await node.must(["sh", "-ec", script]);
}

/** Starts to count the agent's reports that all steps have been checked. */
function counted(watch: Watch): () => number {
  const seen = new Set<number>();
  watch.listen((word) => {
    const at = word.kind === "status" ? word.message.kind?.value.drift?.checkedUnixMillis : undefined;
    if (at !== undefined && at > 0) seen.add(at);
  });
  return () => seen.size;
}

async function sampling(): Promise<never> {
  for (;;) {
    samples.push({ at: seconds(), ...(await sample(node)) });
    const { resident = 0, descriptors = 0, threads = 0, stateDisk = 0 } = samples.at(-1) ?? {};
    process.stderr.write(
      `soak: ${seconds().toFixed(0)} s: ${reconciles()} checks, ${flaps} crashes; ${resident.toFixed(1)} MB, ${descriptors} descriptors, ${threads} threads, ${stateDisk.toFixed(0)} kB\n`,
    );
    await delay(sampleMillis, undefined, { signal: ending.signal });
  }
}

/** Causes the crashes, spread evenly over the checks. */
async function living(): Promise<void> {
  while (flaps < wanted.flaps || reconciles() < wanted.reconciles) {
    const due = Math.min(wanted.flaps, Math.floor((reconciles() / wanted.reconciles) * wanted.flaps));
    if (flaps <= due && flaps < wanted.flaps) await flap();
    else await checked();
  }
}

async function flap(): Promise<void> {
  const unit = flaps % schedulerEvery === 0 ? "kube-scheduler" : "nginx";
  const pid = watch.view(node.name).components.get(unit)?.pid;
  const back = watch.until(() => {
    const now = watch.view(node.name).components.get(unit);
    return now?.activeState === "active" && now.pid !== pid && now.pid !== 0 ? true : undefined;
  }, AbortSignal.timeout(patienceMillis));
  await Promise.all([back, node.must(["systemctl", "kill", "--signal=KILL", "--kill-whom=main", unit])]);
  flaps += 1;
}

function checked(): Promise<true> {
  const had = reconciles();
  return watch.until(() => (reconciles() > had ? true : undefined), AbortSignal.timeout(patienceMillis));
}

function listenDeaf({ id }: Testbed, folder: string, { name, address }: TestbedNode): Disposable {
  const program = join(import.meta.dirname, "deaf.ts");
  const argv = [process.execPath, program, join(folder, "khw-pki"), name, address];
  const child = spawn("nsenter", [`--net=${namespacePath(namespaceOf(id))}`, "--", ...argv], {
    env: plainEnvironment,
    stdio: ["pipe", "inherit", "inherit"],
  });
  return { [Symbol.dispose]: () => child.stdin?.end() };
}
