/** Makes the TypeScript of the contract (proto/gen, not kept in git) from proto/, unless it is there already. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, globSync, readFileSync, rmSync, writeFileSync } from "node:fs";

process.chdir(`${import.meta.dirname}/..`);

const stamp = "proto/gen/.inputs";
const inputs = digest([
  "buf.gen.yaml",
  "node_modules/@bufbuild/buf/package.json",
  "node_modules/ts-proto/package.json",
  ...globSync("proto/khw/**/*.proto").sort(),
]);

if (!existsSync(stamp) || readFileSync(stamp, "utf8") !== inputs) {
  // A stamp that outlived a failed run would vouch for half of the output.
  rmSync(stamp, { force: true });
  execFileSync("node_modules/.bin/buf", ["generate"], { stdio: "inherit" });
  writeFileSync(stamp, inputs);
}

function digest(files: readonly string[]): string {
  const hash = createHash("sha256");
  for (const file of files) hash.update(`${file}\0`).update(readFileSync(file));
  return hash.digest("hex");
}
