/**
 * Names what failed, and says how many assertions passed and failed, alone on the last line.
 *
 * usage: tally.ts STATUS FOLDER     STATUS: how the test run ended; FOLDER: raw TAP, a file a test file
 *
 * Exit status: 0 when the run ended well and nothing failed, 1 otherwise. A run that ended badly counts as one failure where no
 * assertion tells of it: what failed then was set-up, the build, the linter, or a test file's end.
 */
import { globSync, readFileSync } from "node:fs";
import { Parser } from "tap-parser";

const [status = "", folder = ""] = process.argv.slice(2);
let [passed, skipped] = [0, 0];
const failures: string[] = [];

for (const file of globSync(`${folder}/**/*.tap`)) {
  const failedBefore = failures.length;
  let whole = false;
  // Flat: what a test within a test asserts counts, their summaries do not count again.
  for (const [event, data] of Parser.parse(readFileSync(file, "utf8"), { flat: true })) {
    if (event === "complete") whole = data.ok && data.plan.skipReason !== "no tests found";
    if (event !== "assert") continue;
    if (data.skip !== false || data.todo !== false) skipped += 1;
    else if (data.ok) passed += 1;
    else failures.push(`${file}: ${data.fullname}`);
  }
  // A file that broke off may have no failed assertion, but then it has no plan.
  if (failures.length === failedBefore && !whole) failures.push(`${file}: holds no test, or broke off`);
}
if (status !== "0" && failures.length === 0)
  failures.push(`the run ended with status ${status} outside of any assertion`);

for (const failure of failures) console.log(`failed: ${failure}`);

if (skipped > 0) console.log(`${skipped} skipped`);
console.log(`${passed} passed, ${failures.length} failed`);
process.exitCode = failures.length === 0 ? 0 : 1;
