import t from "tap";
import type { ProgressEvent } from "../../../../client/progress/progress.ts";
import { readSettled } from "../../../../client/upgrade/settled.ts";
import { KhwError } from "../../../../proto/errors.ts";

const missed = new KhwError("PREFLIGHT_FAILED", "/readyz answers 500", {
  node: "controller-2",
  step: "kube-apiserver",
});
const drained = new KhwError("PREFLIGHT_FAILED", "is drained", { node: "controller-1", step: "maintenance" });

/**
 * Reads these lists of findings in turn, and then reads the last list repeatedly. Returns the result and the printed
 * notes.
 */
async function settle(...readings: readonly (readonly KhwError[])[]) {
  let reads = 0;
  let now = 0;
  const notes: ProgressEvent[] = [];
  const read = async () => ({ findings: readings[Math.min(reads++, readings.length - 1)] ?? [], warnings: [] });
  const clock = { monotonic: () => now, delay: async (millis: number) => void (now += millis) };
  const progress = { emit: (event: ProgressEvent) => void notes.push(event), settled: async () => {} };
  const { findings } = await readSettled(read, { progress, signal: new AbortController().signal, clock });
  return { findings, reads, millis: now, notes };
}

t.test("a healthy cluster is checked only once, and so is a cluster with a lasting problem", async (t) => {
  t.match(await settle([]), { findings: [], reads: 1, notes: [] });
  t.match(await settle([missed, drained]), { findings: [missed, drained], reads: 1, notes: [] });
});

t.test("a component that missed a health check gets time to recover, and only one note is shown", async (t) => {
  const { findings, reads, notes } = await settle([missed], [missed], []);
  t.strictSame([findings, reads], [[], 3]);
  t.strictSame(notes, [
    { kind: "note", text: "waiting up to 20 s: controller-2: kube-apiserver: /readyz answers 500" },
  ]);
});

t.test("a component that stays unhealthy is reported after 20 seconds", async (t) => {
  const { findings, millis } = await settle([missed]);
  t.strictSame(findings, [missed]);
  t.equal(millis, 20_000);
});
