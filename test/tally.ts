/**
 * Prints each failure, and the numbers of passed and failed assertions alone on the last line.
 *
 * usage: tally.ts STATUS FOLDER     STATUS: how the test run ended; FOLDER: raw TAP, one file per test file
 *
 * Exit status: 0 if the run succeeded and nothing failed, 1 otherwise. A run that failed without a failed assertion
 * counts as one failure: the set-up, the build or the linter has failed, or a test file exited with an error.
 */
import { globSync, readFileSync } from "node:fs";
import { Parser } from "tap-parser";

const [status = "", folder = ""] = process.argv.slice(2);
let [passed, skipped] = [0, 0];
const failures: string[] = [];

for (const file of globSync(`${folder}/**/*.tap`)) {
  const failedBefore = failures.length;
  let whole = false;
  // Parses with `flat`, so that the assertions of subtests count, but the summaries of subtests do not count again.
  for (const [event, data] of Parser.parse(readFileSync(file, "utf8"), { flat: true })) {
    if (event === "complete") whole = data.ok && data.plan.skipReason !== "no tests found";
    if (event !== "assert") continue;
    if (data.skip !== false || data.todo !== false) skipped += 1;
    else if (data.ok) passed += 1;
    else failures.push(`${file}: ${data.fullname}`);
  }
  // The output of an interrupted file may contain no failed assertion, but then it contains no plan either.
  if (failures.length === failedBefore && !whole) failures.push(`${file}: holds no test, or broke off`);
}
if (status !== "0" && failures.length === 0)
  failures.push(`the run ended with status ${status} outside of any assertion`);

for (const failure of failures) console.log(`failed: ${failure}`);

if (skipped > 0) console.log(`${skipped} skipped`);
console.log(`${passed} passed, ${failures.length} failed`);
process.exitCode = failures.length === 0 ? 0 : 1;
