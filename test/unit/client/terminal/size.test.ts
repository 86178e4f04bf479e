import { EventEmitter } from "node:events";
import t from "tap";
import { assumeSize, type Sized } from "../../../../client/terminal/size.ts";

function terminal(size: Pick<Sized, "rows" | "columns">): Sized {
  return Object.assign(new EventEmitter(), { isTTY: true, ...size });
}

t.test("a terminal with an unknown or implausible size is assumed to have 80 columns and 24 rows", async (t) => {
  for (const columns of [undefined, 0, 1, 19]) {
    const stream = terminal(columns === undefined ? {} : { columns, rows: columns });
    assumeSize(stream);
    t.match(stream, { columns: 80 }, `a terminal that reports ${columns} columns is assumed to have 80 columns`);
    t.ok(stream.rows === 24 || stream.rows === 19);
  }
});

t.test("the size of a narrow terminal is not changed", async (t) => {
  const stream = terminal({ rows: 10, columns: 40 });
  assumeSize(stream);
  t.match(stream, { rows: 10, columns: 40 });
});

t.test("a changed terminal size is corrected before other listeners see it", async (t) => {
  const stream = terminal({ rows: 10, columns: 40 });
  let seen: number | undefined;
  stream.on("resize", () => {
    seen = stream.columns;
  });
  assumeSize(stream);
  stream.columns = 0;
  stream.emit("resize");
  t.equal(seen, 80);
});
