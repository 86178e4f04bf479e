import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import t from "tap";

import { replaceGenerated, table } from "../../faults/report.ts";

const outcome = (node: string, seen: number, healthy: number) => ({ fault: "a plug pulled", node, seen, healthy });

t.test("each row has the medians and the longest times over all nodes", async (t) => {
  const outcomes = [outcome("a", 90, 2400), outcome("b", 1500, 2000), outcome("c", 100, 9960)];
  t.match(table(["a plug pulled"], outcomes), "| a plug pulled | 3 | 100 ms | 1.5 s | 2.4 s | 10.0 s |\n");
});

t.test("rows are in the order of the faults, and faults without measurements are omitted", async (t) => {
  const other = { ...outcome("a", 1, 2), fault: "a key lost" };
  const rows = table(["a key lost", "a fire", "a plug pulled"], [outcome("a", 1, 2), other])
    .split("\n")
    .slice(2, -1);
  t.strictSame(
    rows.map((row) => row.split(" | ")[0]),
    ["| a key lost", "| a plug pulled"],
  );
});

t.test("only the text between a document's markers is replaced", async (t) => {
  const document = join(t.testdir(), "document.md");
  const around = (text: string): string => `before\n<!-- generated: begin -->\n${text}<!-- generated: end -->\nafter\n`;
  await writeFile(document, around("old\n"));
  await replaceGenerated(document, "new\n");
  t.equal(await readFile(document, "utf8"), around("new\n"));
  await writeFile(document, "no markers");
  await t.rejects(replaceGenerated(document, "new\n"), /has no/);
});
