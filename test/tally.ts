/**
 * Prints each failure. The last line contains only the numbers of passed and failed assertions.
 *
 * usage: tally.ts STATUS FOLDER     STATUS: the test run's exit status; FOLDER: raw TAP, one file per test file
 *
 * Exit status: 0 if the run succeeded and nothing failed, 1 otherwise. A run that failed without a failed assertion
 * counts as one failure. In that case the setup, the build or the linter has failed, or a test file exited with an
 * error.
 */
import { globSync, readFileSync } from "node:fs";
import { Parser } from "tap-parser";

const [status = "", folder = ""] = process.argv.slice(2);
let [passed, skipped] = [0, 0];
const failures: string[] = [];

for (const file of globSync(`${folder}/**/*.tap`)) {
  const failedBefore = failures.length;
  let whole = false;
  // With the option `flat`, the parser reports the assertions of subtests, but not the subtests' summaries.
  for (const [event, data] of Parser.parse(readFileSync(file, "utf8"), { flat: true })) {
    if (event === "complete") whole = data.ok && data.plan.skipReason !== "no tests found";
    if (event !== "assert") continue;
    if (data.skip !== false || data.todo !== false) skipped += 1;
    else if (data.ok) passed += 1;
    else failures.push(`${file}: ${data.fullname}`);
  }
  // If a test file is interrupted, its output may contain no failed assertion. In that case, it contains no plan
  // either.
  if (failures.length === failedBefore && !whole) failures.push(`${file}: contains no test, or was interrupted`);
}
if (status !== "0" && failures.length === 0)
  failures.push(`the run ended with status ${status} although no assertion failed`);

for (const failure of failures) console.log(`failed: ${failure}`);

if (skipped > 0) console.log(`${skipped} skipped`);
console.log(`${passed} passed, ${failures.length} failed`);
process.exitCode = failures.length === 0 ? 0 : 1;
