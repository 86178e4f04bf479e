/**
 * Checks the language of comments, messages and pages against rules.yaml; a part of `npm run lint`.
 *
 * usage: node test/prose/check.ts [--all] [FILE|FOLDER...]   (--all: also the files that are not checked yet)
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

const rules = readRules();
const all = process.argv.includes("--all");
const paths = process.argv.slice(2).filter((argument) => argument !== "--all");
const files = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard", "--", ...paths], {
  encoding: "utf8",
})
  .split("\n")
  .filter((file) => passagesOf.has(extname(file)) && !file.startsWith("test/lab/") && file !== "LICENSE")
  .filter(
    (file) => all || !rules.notYet.some((part) => file === part || (part.endsWith("/") && file.startsWith(part))),
  );

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
  console.log(`"what" occurs ${whats.toFixed(1)} times in 1,000 words of comment: at most ${rules.whatPerThousand}`);
}
console.log(`prose: ${files.length} files, ${count} breaches`);
process.exitCode = count === 0 ? 0 : 1;
