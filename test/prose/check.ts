/**
 * Checks the language of comments, messages and pages against rules.yaml, as part of `npm run lint`.
 *
 * usage: node test/prose/check.ts [FILE|FOLDER...]
 */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { extname } from "node:path";
import { type Passage, passagesOfLines, passagesOfPage, passagesOfSource } from "./extract.ts";
import { breaches, readRules, whatsPerThousand } from "./rules.ts";

const passagesOf: ReadonlyMap<string, (path: string, text: string) => Passage[]> = new Map([
  [".ts", passagesOfSource],
  [".md", (_, text) => passagesOfPage(text)],
  [".proto", (_, text) => passagesOfLines(text, /^\s*\/\/ ?(.*)$/)],
  [".sh", (_, text) => passagesOfLines(text, /^\s*# (.*)$/)],
]);

/**
 * The sentences in this file break the rules on purpose, so it is not checked. test/lab is not checked either, because
 * it contains the original text of the labs.
 */
const samples = "test/unit/prose/prose.test.ts";
const rules = readRules();
const paths = process.argv.slice(2);
const files = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard", "--", ...paths], {
  encoding: "utf8",
})
  .split("\n")
  .filter((file) => passagesOf.has(extname(file)) && !file.startsWith("test/lab/") && file !== samples);

const comments: Passage[] = [];
let count = 0;
for (const file of files) {
  for (const passage of passagesOf.get(extname(file))?.(file, readFileSync(file, "utf8")) ?? []) {
    if (passage.kind === "comment") comments.push(passage);
    for (const breach of breaches(passage, rules)) {
      count++;
      console.log(`${file}:${passage.line}: ${passage.kind}: ${breach}\n    ${passage.text.slice(0, 110)}`);
    }
  }
}
const whats = whatsPerThousand(comments);
if (whats > rules.whatPerThousand) {
  count++;
  console.log(
    `"what" occurs ${whats.toFixed(1)} times per 1,000 words of comments; the limit is ${rules.whatPerThousand}`,
  );
}
console.log(`prose: ${files.length} files, ${count} breaches`);
process.exitCode = count === 0 ? 0 : 1;
