import { setImmediate } from "node:timers/promises";
import t from "tap";
import { nodeOpener } from "../../../../agent/node.ts";
import { createOperations, type Operations, type OperationsOptions } from "../../../../agent/state/operations.ts";
import type { Os } from "../../../../agent/os/os.ts";
import { createMachineLock } from "../../../../agent/state/machine-lock.ts";
import { operationRecordIn, recoverInterrupted } from "../../../../agent/state/operation-record.ts";
import { KhwError } from "../../../../proto/errors.ts";
import { type Event, type Operation, OperationKind, OperationState } from "../../../../proto/gen/khw/agent/v1/agent.ts";
import type { ApplyContext, Step } from "../../../../proto/step.ts";
import { createFakeOs, fakeIdentity, type FakeOs } from "../../../fakes/os.ts";
import { labDesired, never } from "../../../fixtures/machine.ts";

const desired = labDesired();
const [first, second] = ["11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"];
const folder = "/var/lib/khw-agent";

/** Creates a step that is satisfied once it has been applied. The test decides when the apply ends. */
function slowStep(id: string, needs: readonly string[] = []) {
  const begun = Promise.withResolvers<ApplyContext>();
  const end = Promise.withResolvers<void>();
  let holds = false;
  const step: Step<Os> = {
    id,
    title: `${id} holds`,
    needs,
    check: async () => (holds ? null : { summary: `${id} does not hold` }),
    apply: async (_, context) => {
      begun.resolve(context);
      await end.promise;
      holds = true;
    },
  };
  return { step, begun: begun.promise, end: end.resolve, fail: end.reject };
}

function operationsOf(steps: readonly Step<Os>[], options: Partial<OperationsOptions> = {}) {
  const os = createFakeOs();
  const states: string[] = [];
  const lines: string[] = [];
  const store = operationRecordIn(os.files, folder);
  const operations = createOperations({
    os,
    record: store,
    machineLock: createMachineLock({ clock: os.clock, signal: never }),
    steps: async () => [...steps],
    downloads: () => [],
    joins: () => [],
    rollback: { wayBack: async () => undefined, decide: async () => ({ kind: "unneeded" }) },
    rollingBack: () => {},
    ending: async () => {},
    established: async () => {},
    changed: () => {},
    last: undefined,
    status: (text) => states.push(text),
    log: (line) => lines.push(line),
    signal: never,
    ...options,
  });
  return { os, store, operations, states, lines };
}

function start(operations: Operations, id = first, holder = "alice"): void {
  operations.start({ id, kind: "apply", holder, desired });
}

function prepare(operations: Operations, id = second): void {
  operations.start({ id, kind: "prepare", holder: "bob", desired });
}

/** Collects every event that a listener receives. */
function listen(operations: Operations, id = first) {
  const events: Event[] = [];
  const stop = operations.listen(id, (event) => events.push(event));
  return { events, stop, kinds: () => events.map(({ kind }) => kind?.$case) };
}

t.test("an operation runs its steps, reports each, and records its outcome on disk", async (t) => {
  const a = slowStep("a");
  const { operations, store, states, lines } = operationsOf([a.step]);
  t.equal(operations.current(), undefined);
  start(operations);
  const heard = listen(operations);
  await a.begun;
  t.match(operations.current(), { id: first, holder: "alice", state: OperationState.OPERATION_STATE_RUNNING });
  t.match(await store.load(), { id: first, state: OperationState.OPERATION_STATE_RUNNING });
  a.end();
  await operations.idle();
  t.strictSame(heard.kinds(), ["operationStarted", "stepStarted", "stepFinished", "operationFinished"]);
  t.strictSame(
    heard.events.map(({ sequence }) => sequence),
    [1, 2, 3, 4],
  );
  t.match(heard.events[0], { kind: { value: { holder: "alice", steps: [{ id: "a", title: "a holds" }] } } });
  t.match(heard.events.at(-1), { kind: { value: { changedSteps: 1, error: undefined } } });
  t.match(operations.current(), { state: OperationState.OPERATION_STATE_SUCCEEDED });
  t.match(await store.load(), { id: first, state: OperationState.OPERATION_STATE_SUCCEEDED });
  t.strictSame(states, ["applying a", "serving"]);
  t.strictSame(lines, [`operation ${first}: started by alice`, `operation ${first}: done, 1 steps applied`]);
});

t.test("before the first change, the health of the previous state is recorded on disk", async (t) => {
  for (const healthy of [true, false]) {
    const a = slowStep("a");
    const to = labDesired({ kubernetesVersion: "v1.20.2" });
    const rollback: OperationsOptions["rollback"] = {
      wayBack: async () => ({ to, healthy, obstacle: null }),
      decide: async () => ({ kind: "unneeded" }),
    };
    const { operations, store } = operationsOf([a.step], { rollback });
    start(operations);
    await a.begun;
    t.match(await store.load(), { state: OperationState.OPERATION_STATE_RUNNING, previousHealthy: healthy });
    a.end();
    await operations.idle();
  }
});

t.test("the reason for a rollback is recorded on disk before the rollback changes anything", async (t) => {
  const [a, b] = [slowStep("a"), slowStep("b")];
  const rollback: OperationsOptions["rollback"] = {
    wayBack: async () => ({ to: desired, healthy: true, obstacle: null }),
    decide: async () => ({ kind: "begin", steps: [b.step] }),
  };
  const { operations, store } = operationsOf([a.step], { rollback });
  start(operations);
  await a.begun;
  a.fail(new KhwError("NOT_READY", "it does not answer"));
  await b.begun;
  t.match(await recoverInterrupted(store), {
    state: OperationState.OPERATION_STATE_INTERRUPTED,
    error: { code: "NOT_READY", step: "a", message: "it does not answer" },
  });
  b.end();
  await operations.idle();
  t.match(await store.load(), { state: OperationState.OPERATION_STATE_FAILED, rolledBack: { error: undefined } });
});

t.test(
  "during an operation, a repeated request attaches to it, and a different operation is refused with the holder and start time",
  async (t) => {
    const a = slowStep("a");
    const { operations, os } = operationsOf([a.step]);
    start(operations);
    const since = new Date(os.clock.now()).toISOString();
    os.clock.advance(60_000);
    t.throws(() => start(operations, second, "bob"), {
      code: "BUSY",
      message: `alice has held the machine lock since ${since}`,
      hint: /wait/,
    });
    start(operations, first, "bob");
    t.match(operations.current(), { id: first, holder: "alice" });
    await a.begun;
    a.end();
    await operations.idle();
    start(operations, second, "bob");
    t.match(operations.current(), { id: second, holder: "bob" });
    await operations.idle();
  },
);

t.test("a Prepare runs its own steps, and does not change the record of the last Apply", async (t) => {
  const [a, b] = [slowStep("a"), slowStep("b")];
  const kept: string[] = [];
  const shown: string[] = [];
  const { operations, store } = operationsOf([a.step], {
    downloads: () => [b.step],
    established: async (id) => void kept.push(id),
    changed: (operation, { id }) => shown.push(`${operation.id.slice(0, 1)} shows ${id.slice(0, 1)}`),
  });
  start(operations);
  a.end();
  await operations.idle();
  prepare(operations);
  await b.begun;
  t.match(operations.current(), { id: second, kind: OperationKind.OPERATION_KIND_PREPARE });
  t.throws(() => start(operations), { code: "BUSY" });
  t.throws(() => start(operations, second), { code: "BUSY" }, "an Apply does not attach to a Prepare with the same ID");
  prepare(operations);
  b.fail(new KhwError("DOWNLOAD_FAILED", "no mirror answers"));
  await operations.idle();
  t.match(listen(operations, second).events.at(-1), { kind: { value: { error: { code: "DOWNLOAD_FAILED" } } } });
  t.match(listen(operations, "").events.at(-1), { operationId: first });
  t.match(operations.current(), { id: first, state: OperationState.OPERATION_STATE_SUCCEEDED });
  t.match(await store.load(), { id: first, state: OperationState.OPERATION_STATE_SUCCEEDED });
  t.strictSame(kept, [first]);
  t.strictSame(shown, ["1 shows 1", "1 shows 1", "2 shows 2", "2 shows 1"]);
});

t.test("an interrupted Apply stays interrupted when a Prepare succeeds after it", async (t) => {
  const state = OperationState.OPERATION_STATE_INTERRUPTED;
  const last: Operation = { id: first, holder: "alice", startedUnixMillis: 1, state };
  const { operations } = operationsOf([], { last });
  prepare(operations);
  await operations.idle();
  t.strictSame(operations.current(), last);
});

t.test("no operation starts until the record of the previous operation has been written", async (t) => {
  const writing = Promise.withResolvers<void>();
  const saved: OperationState[] = [];
  const store = {
    load: async () => undefined,
    damage: () => undefined,
    save: async ({ state }: Operation) => {
      saved.push(state);
      if (state !== OperationState.OPERATION_STATE_RUNNING) await writing.promise;
    },
  };
  const { operations } = operationsOf([], { record: store });
  start(operations);
  while (saved.length < 2) await setImmediate();
  t.throws(() => start(operations, second), { code: "BUSY" });
  writing.resolve();
  await operations.idle();
  start(operations, second);
  await operations.idle();
});

t.test("a late listener receives all events in order, but only the newest progress of each step", async (t) => {
  const [a, b] = [slowStep("a"), slowStep("b")];
  const { operations } = operationsOf([a.step, b.step]);
  start(operations);
  const early = listen(operations);
  const [{ progress: tellA }, { progress: tellB }] = await Promise.all([a.begun, b.begun]);
  for (let megabyte = 1; megabyte <= 1000; megabyte++) {
    tellA(`${megabyte} of 1000 MB`);
    tellB(`${megabyte} of 1000 MB`);
    tellB(`${megabyte} of 1000 MB`);
  }
  const late = listen(operations, "");
  t.equal(early.events.length, 3 + 2000, "a repeated progress text is not sent again");
  t.strictSame(late.kinds(), ["operationStarted", "stepStarted", "stepStarted", "stepProgress", "stepProgress"]);
  t.match(late.events.slice(-2), [
    { sequence: 3, kind: { value: { step: "a", text: "1000 of 1000 MB" } } },
    { sequence: 3, kind: { value: { step: "b", text: "1000 of 1000 MB" } } },
  ]);
  a.end();
  b.end();
  await operations.idle();
  const after = listen(operations);
  const counted = (events: readonly Event[]) => events.filter(({ kind }) => kind?.$case !== "stepProgress");
  t.strictSame(after.events, counted(early.events));
  t.strictSame(after.events, counted(late.events));
  t.strictSame(
    after.events.map(({ sequence }) => sequence),
    [1, 2, 3, 4, 5, 6],
  );
});

t.test("an operation continues when its listeners disconnect", async (t) => {
  const a = slowStep("a");
  const { operations } = operationsOf([a.step]);
  start(operations);
  const heard = listen(operations);
  await a.begun;
  heard.stop();
  a.end();
  await operations.idle();
  t.strictSame(heard.kinds(), ["operationStarted", "stepStarted"]);
  t.match(operations.current(), { state: OperationState.OPERATION_STATE_SUCCEEDED });
});

t.test("listening to an unknown operation is refused", async (t) => {
  const { operations } = operationsOf([]);
  t.throws(() => listen(operations, ""), { code: "INVALID_ARGUMENT", message: "this agent has no operation yet" });
  start(operations);
  await operations.idle();
  t.throws(() => listen(operations, "\n"), {
    code: "INVALID_ARGUMENT",
    message: 'this agent has no operation "\\n"',
  });
});

t.test("the error of the first failed step becomes the operation's error and can be queried later", async (t) => {
  const [a, b] = [slowStep("a"), slowStep("b", ["a"])];
  const { operations, store } = operationsOf([a.step, b.step]);
  start(operations);
  await a.begun;
  a.fail(new KhwError("IO_FAILED", "/f: the disk is full", { hint: "make room" }));
  await operations.idle();
  const error = { code: "IO_FAILED", message: "/f: the disk is full", hint: "make room", step: "a" };
  t.match(operations.current(), { state: OperationState.OPERATION_STATE_FAILED, error });
  t.match(await store.load(), { state: OperationState.OPERATION_STATE_FAILED, error });
  t.match(listen(operations).events.at(-1), {
    kind: { $case: "operationFinished", value: { error, changedSteps: 0 } },
  });
});

t.test("stopping the agent interrupts the operation, and the error reports the interruption", async (t) => {
  const [a, b] = [slowStep("a"), slowStep("b", ["a"])];
  const ending = new AbortController();
  const { operations, store } = operationsOf([a.step, b.step], { signal: ending.signal });
  start(operations);
  await a.begun;
  ending.abort(new KhwError("INTERRUPTED", "the agent was stopped"));
  a.end();
  await operations.idle();
  t.match(await store.load(), {
    state: OperationState.OPERATION_STATE_INTERRUPTED,
    error: { code: "INTERRUPTED", message: "the agent was stopped", step: "b" },
  });
});

t.test(
  "if the disk has no space for the record, the operation fails before any change and releases the node",
  async (t) => {
    const a = slowStep("a");
    let full = true;
    const store = {
      load: async () => undefined,
      damage: () => undefined,
      save: async () => {
        if (full) throw new KhwError("IO_FAILED", "no space left on device");
      },
    };
    const { operations, states } = operationsOf([a.step], { record: store });
    start(operations);
    const heard = listen(operations);
    await operations.idle();
    t.strictSame(heard.kinds(), ["operationStarted", "operationFinished"]);
    t.match(operations.current(), { state: OperationState.OPERATION_STATE_FAILED, error: { code: "IO_FAILED" } });
    t.strictSame(states, ["serving"]);
    full = false;
    start(operations, second);
    await a.begun;
    a.end();
    await operations.idle();
    t.match(operations.current(), { state: OperationState.OPERATION_STATE_SUCCEEDED });
  },
);

t.test(
  "an exception while creating the steps becomes the operation's error, and the agent keeps running",
  async (t) => {
    const steps = async () => {
      throw new TypeError("undefined is not a function");
    };
    const { operations } = operationsOf([], { steps });
    start(operations);
    await operations.idle();
    t.match(operations.current(), { error: { code: "INTERNAL", message: "unexpected: undefined is not a function" } });
  },
);

t.test("an operation interrupted by a power loss is detected and reported once to the next operation", async (t) => {
  const a = slowStep("a");
  const before = operationsOf([a.step]);
  start(before.operations);
  await a.begun;
  const store = operationRecordIn(before.os.files, folder);
  const last = await recoverInterrupted(store);
  t.match(last, { id: first, holder: "alice", state: OperationState.OPERATION_STATE_INTERRUPTED });
  t.match(
    await recoverInterrupted(store),
    last ?? {},
    "an agent that is killed before it starts work recovers the same record",
  );
  t.match(await before.os.files.stat(`${folder}/operation`), { mode: 0o600 });

  const { operations } = operationsOf([], { last });
  t.strictSame(operations.current(), last);
  for (const interrupted of [last, undefined]) {
    start(operations, second);
    await operations.idle();
    t.match(listen(operations, second).events[0], { kind: { value: { interrupted } } });
  }
  a.end();
  await before.operations.idle();
});

t.test("neither a finished operation nor a damaged record is mistaken for an interrupted one", async (t) => {
  const { operations, os, store } = operationsOf([]);
  t.equal(await recoverInterrupted(store), undefined);
  start(operations);
  await operations.idle();
  t.match(await recoverInterrupted(store), { state: OperationState.OPERATION_STATE_SUCCEEDED });
  for (const spoilt of ["\u0000\u0000", "not a record", Buffer.from([0x0a, 0x7f])]) {
    os.files.put(`${folder}/operation`, spoilt);
    t.equal(await recoverInterrupted(store), undefined);
    t.match(store.damage(), /operation cannot be read: /);
  }
});

t.test(
  "the machine is identified on the first call, and again on later calls until the identification succeeds",
  async (t) => {
    const os = createFakeOs();
    let asked = 0;
    const failures: string[] = [];
    const node = nodeOpener({
      identity: async () => {
        if (++asked === 1) throw new KhwError("METADATA_UNAVAILABLE", "no answer");
        return fakeIdentity;
      },
      open: (identity): FakeOs => ({ ...os, identity }),
      stateFolder: folder,
      version: "1.2.3",
      storage: { upload: async () => {} },
      supervision: { probeMillis: 3_600_000, reconcileMillis: 3_600_000 },
      status: () => {},
      log: () => {},
      failed: ({ message }) => failures.push(message),
      restart: () => {},
      signal: never,
    });
    await Promise.all([t.rejects(node(), { code: "METADATA_UNAVAILABLE" }), t.rejects(node())]);
    t.equal(asked, 1, "simultaneous calls share a single result");
    const [one, other] = await Promise.all([node(), node()]);
    t.equal(one, other, "both callers get the same object");
    t.equal(await node(), one);
    t.equal(asked, 2);
    t.strictSame(failures, ["no answer"]);
  },
);
