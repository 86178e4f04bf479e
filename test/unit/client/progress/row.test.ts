import t from "tap";
import { describeRow } from "../../../../client/progress/row.ts";

const minute = { finishedSteps: 12, totalSteps: 43, elapsedMillis: 64_000 };
const working = new Map([["binary/etcd", "63 of 118 MB"]]);
const names = { nameWidth: 12, columns: 77 };

t.test("a row shows the node's name, the count, the time and the step", async (t) => {
  t.equal(
    describeRow({ track: "controller-0", progress: minute, working }, names),
    "controller-0  12 of 43  1 min 4 s  binary/etcd: 63 of 118 MB",
  );
});

t.test("a row with several steps shows the newest step and the number of other steps", async (t) => {
  const several = new Map([...working, ["package/nginx", "is not installed"], ["unit/etcd", "does not exist"]]);
  t.match(
    describeRow({ track: "controller-0", progress: minute, working: several }, names),
    /unit\/etcd: does not exist \(and 2 more\)$/,
  );
});

t.test("a row shows waiting before the first event, and no count if the number of steps is unknown", async (t) => {
  t.equal(
    describeRow({ track: "controller-1", progress: undefined, working: new Map() }, names),
    "controller-1  waiting",
  );
  const drained = { finishedSteps: 0, elapsedMillis: 3_000 };
  t.equal(
    describeRow({ track: "controller-1", progress: drained, working: new Map([["drain", "is drained"]]) }, names),
    "controller-1  3 s  drain: is drained",
  );
});

t.test("rows for names of different lengths are aligned", async (t) => {
  const rows = ["a", "load balancer"].map((track) =>
    describeRow({ track, progress: minute, working: new Map() }, { nameWidth: 13, columns: 77 }),
  );
  t.strictSame(rows, ["a              12 of 43  1 min 4 s", "load balancer  12 of 43  1 min 4 s"]);
});

t.test("on a narrow terminal, a row with a long name keeps its count, and no row exceeds the width", async (t) => {
  const track = "controller-0-in-the-third-zone-of-the-first-region";
  for (let columns = 20; columns <= 120; columns++) {
    const row = describeRow({ track, progress: minute, working }, { nameWidth: track.length, columns });
    t.ok(row.length <= columns, `the row fits into ${columns} columns: ${row}`);
    if (columns >= 24) t.match(row, "12 of 43", `the row shows the count in ${columns} columns: ${row}`);
  }
  t.equal(
    describeRow({ track, progress: minute, working }, { nameWidth: track.length, columns: 40 }),
    "controller-0-in…  12 of 43  1 min 4 s  …",
  );
});
