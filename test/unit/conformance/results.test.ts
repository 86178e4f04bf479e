import { appendFile, readFile } from "node:fs/promises";
import { join } from "node:path";

import t from "tap";

import type { Outcome } from "../../conformance/outcome.ts";
import { openResults } from "../../conformance/results.ts";
import { batchesOf } from "../../conformance/suite.ts";

const outcome = (name: string, state: Outcome["state"]): Outcome => ({
  name,
  group: "a",
  state,
  seconds: 1,
  failure: "",
});
const passed = outcome("one", "passed");
const failed = outcome("two", "failed");

t.test("a result is in the file as soon as it is added", async (t) => {
  const folder = t.testdir({});
  const results = await openResults(folder, { resume: false });
  await results.add([passed]);
  await results.add([failed]);
  const lines = (await readFile(join(folder, "results.jsonl"), "utf8")).trim().split("\n");
  t.strictSame(
    lines.map((line): unknown => JSON.parse(line)),
    [passed, failed],
  );
});

t.test("a resumed run keeps the tests that passed, and discards the other results", async (t) => {
  const folder = t.testdir({});
  await (await openResults(folder, { resume: false })).add([passed, failed]);
  const resumed = await openResults(folder, { resume: true });
  t.strictSame(resumed.all(), [passed]);
  await resumed.add([{ ...failed, state: "passed" }]);
  t.equal((await openResults(folder, { resume: true })).all().length, 2);
  t.strictSame((await openResults(folder, { resume: false })).all(), []);
});

t.test("only the last result of a test counts", async (t) => {
  const results = await openResults(t.testdir({}), { resume: true });
  await results.add([failed]);
  await results.add([{ ...failed, state: "passed" }]);
  t.strictSame(
    results.all().map(({ state }) => state),
    ["passed"],
  );
});

t.test("a line that was truncated by a crash is ignored", async (t) => {
  const folder = t.testdir({});
  await (await openResults(folder, { resume: false })).add([passed]);
  await appendFile(join(folder, "results.jsonl"), '{"name": "two", "sta');
  t.strictSame((await openResults(folder, { resume: true })).all(), [passed]);
});

t.test("each test is in exactly one batch, and the tests keep their order", async (t) => {
  t.strictSame(batchesOf(["a", "b", "c", "d", "e"], 2), [["a", "b"], ["c", "d"], ["e"]]);
  t.strictSame(batchesOf([], 2), []);
});
