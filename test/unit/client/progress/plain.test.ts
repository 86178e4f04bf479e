import t from "tap";
import { plainProgress } from "../../../../client/progress/plain.ts";
import type { ProgressEvent } from "../../../../client/progress/progress.ts";
import { createTally } from "../../../../client/progress/tally.ts";
import { KhwError } from "../../../../proto/errors.ts";
import { Event, StepOutcome } from "../../../../proto/gen/khw/agent/v1/agent.ts";
import type { StepEvent } from "../../../../proto/step.ts";

type Kind = NonNullable<Parameters<typeof Event.fromPartial>[0]["kind"]>;

const node = (name: string, kind: Kind): ProgressEvent => ({
  kind: "node",
  node: name,
  event: Event.fromPartial({ kind }),
});

const steps = ["package/nginx", "binary/etcd", "unit/etcd"].map((id) => ({ id, title: id }));

const operation = (name: string): ProgressEvent =>
  node(name, { $case: "operationStarted", value: { holder: "jane", steps } });

const started = (name: string, step: string, drift = "does not exist"): ProgressEvent =>
  node(name, { $case: "stepStarted", value: { step, drift } });

const changed = (name: string, step: string, durationMillis = 300): ProgressEvent =>
  node(name, {
    $case: "stepFinished",
    value: { step, outcome: StepOutcome.STEP_OUTCOME_CHANGED, durationMillis },
  });

const unchanged = (name: string, step: string): ProgressEvent =>
  node(name, { $case: "stepFinished", value: { step, outcome: StepOutcome.STEP_OUTCOME_UNCHANGED } });

/** Creates a display. The test controls its clock and its delay. */
function display() {
  let out = "";
  let millis = 0;
  const held = new Set<() => void>();
  const tally = createTally(() => millis);
  const progress = plainProgress((text) => (out += text), {
    tally,
    schedule: (callback) => {
      held.add(callback);
      return () => void held.delete(callback);
    },
  });
  return {
    show: (...events: readonly ProgressEvent[]) => {
      for (const event of events) {
        tally.count(event);
        progress.emit(event);
      }
    },
    pass: (span: number) => (millis += span),
    /** Ends the delay of all lines that are being held back. */
    holdPasses: () => [...held].forEach((callback) => callback()),
    held: () => held.size,
    settle: () => progress.settled(),
    lines: () => out.split("\n").slice(0, -1),
  };
}

const three = ["a", "b", "c"];

t.test("with one node, each line is printed at once, with count and time", async (t) => {
  const { show, pass, lines, held } = display();
  show({ kind: "begin", tracks: ["a"] }, operation("a"), unchanged("a", "package/nginx"), started("a", "unit/etcd"));
  t.strictSame(lines(), ["a: unit/etcd: does not exist"]);
  pass(64_000);
  show(changed("a", "unit/etcd"));
  t.equal(lines().at(-1), "a: unit/etcd: done in 0.3 s (2 of 3, 1 min 4 s)");
  show({ kind: "end", track: "a", changed: 1 });
  t.equal(lines().at(-1), "a: done, 1 step applied in 1 min 4 s");
  t.equal(held(), 0);
});

t.test("lines that are the same on three nodes are printed once", async (t) => {
  const { show, pass, lines } = display();
  show({ kind: "begin", tracks: three }, ...three.map(operation));
  show(...three.map((name) => started(name, "unit/etcd")));
  pass(4_000);
  show(changed("a", "unit/etcd", 300), unchanged("c", "package/nginx"), changed("c", "unit/etcd", 450));
  show(changed("b", "unit/etcd", 300));
  show(...three.map((track) => ({ kind: "end", track, changed: 1 }) as const));
  t.strictSame(lines(), [
    "a, b, c: unit/etcd: does not exist",
    "a, b, c: unit/etcd: done in 0.3 to 0.5 s (1 to 2 of 3, 4 s)",
    "a, b, c: done, 1 step applied in 4 s",
  ]);
});

t.test("three nodes with nothing to do share a single final line", async (t) => {
  const { show, lines } = display();
  show({ kind: "begin", tracks: three }, ...three.map((track) => ({ kind: "end", track, changed: 0 }) as const));
  t.strictSame(lines(), ["a, b, c: nothing to do"]);
});

t.test("on three nodes, equal lines are merged and different lines are printed separately", async (t) => {
  const { show, lines, holdPasses } = display();
  show({ kind: "begin", tracks: three }, started("a", "unit/etcd"), started("b", "unit/etcd", "differs"));
  show(started("c", "unit/etcd"));
  t.strictSame(lines(), [], "nothing is printed while another node may still report the same line");
  holdPasses();
  t.strictSame(lines(), ["a, c: unit/etcd: does not exist", "b: unit/etcd: differs"]);
});

t.test("the nodes of a merged line are listed in node order, regardless of which node was first", async (t) => {
  const { show, lines } = display();
  show({ kind: "begin", tracks: ["b", "a", "c"] });
  for (const name of ["c", "a", "b"]) show(started(name, "unit/etcd"));
  for (const track of three) show({ kind: "end", track, changed: 1 });
  t.strictSame(lines(), ["b, a, c: unit/etcd: does not exist", "b, a, c: done, 1 step applied in 0 s"]);
});

t.test("a slow node does not delay the lines of the other nodes", async (t) => {
  const { show, lines, holdPasses } = display();
  show({ kind: "begin", tracks: three }, started("a", "unit/etcd"), started("b", "unit/etcd"));
  holdPasses();
  show(started("c", "unit/etcd"));
  holdPasses();
  t.strictSame(lines(), ["a, b: unit/etcd: does not exist", "c: unit/etcd: does not exist"]);
});

t.test("lines of the same node about the same step keep their order", async (t) => {
  const { show, lines } = display();
  show({ kind: "begin", tracks: three }, started("a", "unit/etcd"), changed("a", "unit/etcd"));
  t.strictSame(lines(), ["a: unit/etcd: does not exist"]);
});

t.test("consecutive phases of the same node keep their order", async (t) => {
  const { show, lines } = display();
  show({ kind: "begin", tracks: three }, started("a", "drain"), changed("a", "drain"), started("a", "restart"));
  show(changed("a", "restart"));
  t.strictSame(lines(), ["a: drain: does not exist", "a: drain: done in 0.3 s", "a: restart: does not exist"]);
});

t.test("a finished node delays no other node, and its error is printed at once, after its own lines", async (t) => {
  const { show, lines } = display();
  show({ kind: "begin", tracks: three }, started("a", "unit/etcd"), started("b", "package/nginx", "missing"));
  show({ kind: "end", track: "a", changed: 0, error: new KhwError("IO_FAILED", "disk full", { step: "unit/etcd" }) });
  t.strictSame(lines(), ["a: unit/etcd: does not exist", "a: unit/etcd: disk full"]);
  show(started("c", "package/nginx", "missing"));
  t.equal(lines().at(-1), "b, c: package/nginx: missing");
});

t.test("lines of the load balancer and notes are not delayed, and notes come after all earlier lines", async (t) => {
  const { show, lines, settle } = display();
  const event: StepEvent = { kind: "started", step: "target-pool", drift: { summary: "does not exist" } };
  show({ kind: "begin", tracks: [...three, "load balancer"] }, { kind: "steps", track: "load balancer", total: 8 });
  show({ kind: "loadBalancer", event }, started("a", "unit/etcd"), { kind: "note", text: "interrupted" });
  t.strictSame(lines(), ["load balancer: target-pool: does not exist", "a: unit/etcd: does not exist", "interrupted"]);
  show(started("a", "binary/etcd"));
  await settle();
  t.equal(lines().at(-1), "a: binary/etcd: does not exist");
});

t.test("the final note shows the total time", async (t) => {
  const { show, pass, lines } = display();
  pass(94_500);
  show({ kind: "note", text: "the control plane answers", final: true });
  t.strictSame(lines(), ["the control plane answers (total time: 1 min 34 s)"]);
});
