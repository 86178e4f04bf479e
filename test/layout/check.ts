/** Checks the dependencies between the source folders, as part of `npm run lint`. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { crowdedRoots, importsOf, mutualFolders } from "./folders.ts";

const mostFiles = 8;
const files = execFileSync(
  "git",
  ["ls-files", "--cached", "--others", "--exclude-standard", "agent", "client", "proto"],
  {
    encoding: "utf8",
  },
)
  .split("\n")
  .filter((file) => file.endsWith(".ts") && existsSync(file));
const faults = [
  ...mutualFolders(files.flatMap((file) => importsOf(file, readFileSync(file, "utf8")))),
  ...crowdedRoots(files, mostFiles),
];
for (const fault of faults) console.log(fault);
console.log(`layout: ${files.length} files, ${faults.length} breaches`);
process.exitCode = faults.length === 0 ? 0 : 1;
