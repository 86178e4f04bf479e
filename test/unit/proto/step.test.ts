import t from "tap";
import { KhwError } from "../../../proto/errors.ts";
import { applySteps, inOrder, planSteps, type Step, type StepEvent, withNeeds } from "../../../proto/step.ts";

/** A simulated machine. Contains the facts that are true, and a record of the calls. */
interface Machine {
  readonly holds: Set<string>;
  readonly calls: string[];
}

function machine(...holds: string[]): Machine {
  return { holds: new Set(holds), calls: [] };
}

function step(id: string, needs: readonly string[] = [], changes: Partial<Step<Machine>> = {}): Step<Machine> {
  return {
    id,
    title: `${id} holds`,
    needs,
    check: async ({ holds, calls }) => {
      calls.push(`check ${id}`);
      return holds.has(id) ? null : { summary: `${id} is missing` };
    },
    apply: async ({ holds, calls }) => {
      calls.push(`apply ${id}`);
      holds.add(id);
    },
    ...changes,
  };
}

function failing(id: string, needs: readonly string[] = []): Step<Machine> {
  return step(id, needs, {
    apply: async () => {
      throw new KhwError("IO_FAILED", "the disk is full", { hint: "make room" });
    },
  });
}

async function run(steps: readonly Step<Machine>[], os: Machine, signal = new AbortController().signal) {
  const events: StepEvent[] = [];
  const results = await applySteps(steps, os, { signal, emit: (event) => events.push(event) });
  return { results, events, outcomes: results.map(({ outcome }) => outcome) };
}

t.test("a step is checked, applied if it differs, and checked again", async (t) => {
  const os = machine("a");
  const { results, outcomes, events } = await run([step("a"), step("b", ["a"])], os);
  t.strictSame(outcomes, ["unchanged", "changed"]);
  t.strictSame(os.calls, ["check a", "check b", "apply b", "check b"]);
  t.match(results[1], { drift: { summary: "b is missing" } });
  t.strictSame(
    events.map(({ kind, step }) => `${kind} ${step}`),
    ["finished a", "started b", "finished b"],
  );
});

t.test("if a step still differs after its apply, its own explanation, if any, is reported as the error", async (t) => {
  const apply = async (): Promise<void> => {};
  const why = new KhwError("SERVICE_FAILED", "it ends by itself");
  const explained = step("a", [], { apply, explain: async () => why });
  const silent = step("b", [], { apply, explain: async () => null });
  const { results } = await run([explained, silent], machine());
  t.match(results[0], {
    outcome: "failed",
    error: { code: "SERVICE_FAILED", message: "it ends by itself", step: "a" },
  });
  t.match(results[1], { outcome: "failed", error: { code: "POSTCONDITION_FAILED" } });
});

t.test("if a condition is lost again, the step waits for it again, up to the allowed number of attempts", async (t) => {
  for (const { attempts, outcome, applied } of [
    { attempts: 2, outcome: "failed", applied: 2 },
    { attempts: 3, outcome: "changed", applied: 3 },
  ]) {
    let count = 0;
    const wait: Step<null> = {
      id: "wait",
      title: "it is ready",
      needs: [],
      attempts,
      check: async () => (count === 3 ? null : { summary: "it is not ready" }),
      apply: async () => void count++,
    };
    const [result] = await applySteps([wait], null, { signal: new AbortController().signal, emit: () => {} });
    t.equal(result?.outcome, outcome);
    t.equal(count, applied);
  }
});

t.test("a second run of the steps changes nothing", async (t) => {
  const steps = [step("a"), step("b", ["a"])];
  const os = machine();
  await run(steps, os);
  os.calls.length = 0;
  t.strictSame((await run(steps, os)).outcomes, ["unchanged", "unchanged"]);
  t.strictSame(os.calls, ["check a", "check b"]);
});

t.test("a step that still differs after its apply has failed", async (t) => {
  const { results } = await run([step("a", [], { apply: async () => undefined })], machine());
  t.match(results[0], {
    outcome: "failed",
    drift: { summary: "a is missing" },
    error: { code: "POSTCONDITION_FAILED", step: "a", message: "still differs after apply: a is missing" },
  });
});

t.test("steps that need a failed step are skipped, and the other steps continue", async (t) => {
  const os = machine();
  const steps = [failing("a"), step("b", ["a"]), step("c", ["b"]), step("d")];
  const { results, outcomes } = await run(steps, os);
  t.strictSame(outcomes, ["failed", "skipped", "skipped", "changed"]);
  t.match(results[0], { error: { code: "IO_FAILED", step: "a", hint: "make room" } });
  t.notOk(os.calls.some((call) => call.endsWith("b") || call.endsWith("c")));
});

t.test("a step whose check throws fails, and an unexpected exception is marked as a bug", async (t) => {
  const broken = step("a", [], {
    check: async () => {
      throw new TypeError("undefined is not a function");
    },
  });
  const { results } = await run([broken], machine());
  t.match(results[0], {
    outcome: "failed",
    drift: null,
    error: { code: "INTERNAL", step: "a", message: /^unexpected: / },
  });
});

t.test("independent steps run in parallel, and a dependent step waits", async (t) => {
  const { promise: bothRun, resolve: meet } = Promise.withResolvers<void>();
  let waiting = 0;
  const meeting: Partial<Step<Machine>> = {
    apply: async ({ holds }, { signal }) => {
      signal.throwIfAborted();
      if (++waiting === 2) meet();
      await bothRun;
      holds.add("a").add("b");
    },
  };
  const after = step("c", ["a", "b"], {
    check: async ({ holds }) => {
      t.ok(holds.has("a") && holds.has("b"), "a and b are applied before c is checked");
      return null;
    },
  });
  t.strictSame((await run([step("a", [], meeting), step("b", [], meeting), after], machine())).outcomes, [
    "changed",
    "changed",
    "unchanged",
  ]);
});

t.test("progress is reported between a step's start and its end", async (t) => {
  const slow = step("a", [], {
    apply: async ({ holds }, { progress }) => {
      progress("63 of 118 MB");
      holds.add("a");
    },
  });
  const { events } = await run([slow], machine());
  t.match(events, [{ kind: "started" }, { kind: "progress", step: "a", text: "63 of 118 MB" }, { kind: "finished" }]);
});

t.test("after a cancellation, no further step starts, and every remaining step reports the reason", async (t) => {
  const cancel = new AbortController();
  const os = machine();
  const first = step("a", [], {
    apply: async ({ holds }) => {
      holds.add("a");
      cancel.abort(new KhwError("CANCELLED", "the agent is stopping"));
    },
  });
  const { results, outcomes } = await run([first, step("b", ["a"]), step("c", ["b"])], os, cancel.signal);
  t.strictSame(outcomes, ["changed", "failed", "skipped"]);
  t.match(results[1], { error: { code: "CANCELLED", step: "b", message: "the agent is stopping" } });
  t.notOk(os.holds.has("b"));
});

t.test("a list of steps in the wrong order or with a duplicate id is refused before any step runs", async (t) => {
  for (const [steps, message] of [
    [[step("a"), step("b", ["c"]), step("c")], "step b needs c, which is not an earlier step"],
    [[step("a"), step("a")], "two steps have the id a"],
    [[step("a", ["a"])], "step a needs a, which is not an earlier step"],
  ] as const) {
    const os = machine();
    await t.rejects(run(steps, os), { code: "INTERNAL", message });
    t.strictSame(os.calls, []);
  }
});

t.test("a plan checks every step, even if the steps that it needs still differ, and applies no step", async (t) => {
  const os = machine("b");
  const broken = step("c", [], {
    check: async () => {
      throw new KhwError("IO_FAILED", "cannot read");
    },
  });
  const plan = await planSteps([step("a"), step("b", ["a"]), broken], os, new AbortController().signal);
  t.match(plan, [
    { step: { id: "a" }, drift: { summary: "a is missing" }, error: null },
    { step: { id: "b" }, drift: null, error: null },
    { step: { id: "c" }, drift: null, error: { code: "IO_FAILED", step: "c" } },
  ]);
  t.notOk(os.calls.some((call) => call.startsWith("apply")));
});

t.test("selected steps include the steps that they need, and no others", async (t) => {
  const list = [step("a"), step("b"), step("c", ["a"]), step("d", ["c"]), step("e", ["b", "d"])];
  const ids = (wanted: string) => withNeeds(list, (id) => id === wanted).map(({ id }) => id);
  t.strictSame(ids("d"), ["a", "c", "d"]);
  t.strictSame(ids("b"), ["b"]);
  t.strictSame(ids("x"), []);
});

t.test("a step starts after the steps in `after` have ended, even if they failed", async (t) => {
  const later = { ...step("c"), after: ["a", "b", "absent"] };
  const events: StepEvent[] = [];
  const results = await applySteps([failing("a"), step("b", ["a"]), later], machine(), {
    signal: new AbortController().signal,
    emit: (event) => events.push(event),
  });
  t.match(results, [{ outcome: "failed" }, { outcome: "skipped" }, { outcome: "changed" }]);
  const at = (kind: string, id: string) => events.findIndex((event) => event.kind === kind && event.step === id);
  t.ok(at("finished", "a") < at("started", "c"));
});

t.test("inOrder moves a step behind the steps that it waits for, and keeps all other steps in place", async (t) => {
  const ids = (list: readonly Step<Machine>[]) => inOrder(list).map(({ id }) => id);
  t.strictSame(ids([step("a"), step("b", ["d"]), step("c"), step("d", ["e"]), step("e")]), ["a", "e", "d", "b", "c"]);
  t.strictSame(ids([step("a"), { ...step("b"), after: ["c"] }, step("c")]), ["a", "c", "b"]);
  t.strictSame(ids([step("a"), step("b", ["a"]), step("c", ["a"])]), ["a", "b", "c"]);
  t.strictSame(ids([step("a"), step("a")]), ["a", "a"], "steps with the same ID stay, so that they are reported");
  const circular = inOrder([step("a", ["b"]), step("b", ["a"])]);
  const options = { signal: new AbortController().signal, emit: () => {} };
  await t.rejects(applySteps(circular, machine(), options), { code: "INTERNAL", message: /not an earlier step/ });
});
