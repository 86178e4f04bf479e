/** Generates the TypeScript code of the API (proto/gen, not in git) from proto/, unless it is up to date. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, globSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { describeFiles } from "./descriptors.ts";

process.chdir(`${import.meta.dirname}/..`);

const stamp = "proto/gen/.inputs";
const buf = "node_modules/.bin/buf";
const inputs = digest([
  "buf.gen.yaml",
  "packaging/descriptors.ts",
  "node_modules/@bufbuild/buf/package.json",
  "node_modules/ts-proto/package.json",
  ...globSync("proto/{khw,grpc}/**/*.proto").sort(),
]);

if (!existsSync(stamp) || readFileSync(stamp, "utf8") !== inputs) {
  // The stamp is removed first. Otherwise, after a failed run, the stamp would mark incomplete output as complete.
  rmSync(stamp, { force: true });
  execFileSync(buf, ["generate"], { stdio: "inherit" });
  const set = execFileSync(buf, ["build", "proto", "--as-file-descriptor-set", "--exclude-source-info", "--output=-"]);
  writeFileSync("proto/gen/descriptors.ts", describeFiles(set));
  writeFileSync(stamp, inputs);
}

function digest(files: readonly string[]): string {
  const hash = createHash("sha256");
  for (const file of files) hash.update(`${file}\0`).update(readFileSync(file));
  return hash.digest("hex");
}
