import { readFile } from "node:fs/promises";
import t from "tap";
import { checkTable, editionTable, resultTable } from "../../../../../client/doctor/cis/page.ts";
import { labResults } from "../../../../fixtures/cis/lab.ts";

t.test("docs/cis.md has the current tables", async (t) => {
  const page = await readFile(new URL("../../../../../docs/cis.md", import.meta.url), "utf8");
  for (const table of [editionTable(), resultTable(await labResults()), checkTable()]) {
    t.ok(page.includes(table), `docs/cis.md must have this table:\n${table}`);
  }
});
