import t from "tap";
import { groupLines } from "../../../../client/terminal/group-lines.ts";
import { elapsed } from "../../../../client/terminal/time.ts";

t.test("equal lines from several places are merged, in the order of their first occurrence", async (t) => {
  const lines = [
    { place: "a", text: "unit/etcd: does not exist" },
    { place: "a", text: "unit/nginx: differs" },
    { place: "b", text: "unit/etcd: does not exist" },
    { place: "b", text: "unit/etcd: does not exist" },
  ];
  t.strictSame(groupLines(lines), ["a, b: unit/etcd: does not exist", "a: unit/nginx: differs"]);
  t.strictSame(groupLines([]), []);
});

t.test("a duration has at most two units", async (t) => {
  t.strictSame([0, 999, 59_999, 60_000, 64_000, 3_599_000, 7_260_000].map(elapsed), [
    "0 s",
    "0 s",
    "59 s",
    "1 min 0 s",
    "1 min 4 s",
    "59 min 59 s",
    "2 h 1 min",
  ]);
});
