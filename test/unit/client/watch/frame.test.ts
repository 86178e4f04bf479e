import { stripVTControlCharacters, styleText } from "node:util";
import t from "tap";
import { frame } from "../../../../client/watch/frame.ts";
import { truncateLine, openScreen } from "../../../../client/watch/screen.ts";
import { KhwError } from "../../../../proto/errors.ts";
import { Health } from "../../../../proto/gen/khw/agent/v1/agent.ts";
import { component, wellStatus } from "../../../fixtures/status.ts";

const now = Date.parse("2026-11-23T22:45:35Z");
const paint = (_: unknown, text: string): string => text;
const sick = component("nginx", { health: Health.HEALTH_UNHEALTHY, reason: "it answers 502" });

t.test("the nodes in the worst state are listed first, with their components if there is room", async (t) => {
  const nodes = [
    { node: "a", status: wellStatus("a") },
    { node: "b" },
    { node: "c", status: wellStatus("c", { components: [sick] }) },
    { node: "d", error: new KhwError("UNREACHABLE", "no connection", { hint: "is it up?" }), status: wellStatus("d") },
  ];
  const lines = frame({ nodes }, { rows: 40, now, paint });
  t.equal(lines[0], "22:45:35 UTC   4 nodes, 1 healthy, 1 unhealthy, 1 not answering, 1 without an answer yet");
  t.same(
    lines.filter((line) => /^[✖…✔!]/.test(line)).map((line) => line[2]),
    ["d", "c", "b", "a"],
  );
  t.ok(lines.some((line) => /^ {4}etcd +active +v1\.21\.0 +4711 +healthy$/.test(line)));
  t.ok(lines.includes("      hint: is it up?"));
});

t.test(
  "a frame that is too tall omits components first, then hints, and finally shows only the number of nodes",
  async (t) => {
    const well = Array.from({ length: 20 }, (_, index) => ({ node: `w${index}`, status: wellStatus(`w${index}`) }));
    const nodes = [...well, { node: "bad", status: wellStatus("bad", { components: [sick] }) }];
    const heights = [60, 26, 25, 12, 4, 3];
    for (const rows of heights)
      t.ok(frame({ nodes }, { rows, now, paint }).length <= rows, `the frame has at most ${rows} rows`);
    t.ok(frame({ nodes }, { rows: 25, now, paint }).some((line) => line.includes("hint:")));
    t.notOk(frame({ nodes }, { rows: 24, now, paint }).some((line) => line.includes("hint:")));
    const small = frame({ nodes }, { rows: 8, now, paint });
    t.match(small[2], /^✖ bad/);
    t.equal(small.at(-1), "… and 17 more nodes, 17 of them healthy");
  },
);

t.test("a line is cut at the terminal's width, and color codes do not count toward the width", async (t) => {
  const line = `${styleText("red", "0123456789", { validateStream: false })}abc`;
  t.equal(stripVTControlCharacters(truncateLine(line, 20)), "0123456789abc");
  t.equal(stripVTControlCharacters(truncateLine(line, 12)), "0123456789a…");
  t.equal(stripVTControlCharacters(truncateLine(line, 5)), "0123…");
  t.ok(truncateLine(line, 5).includes("\u{1b}[39m"), "the truncated line resets the color");
});

t.test("an unchanged frame is not written again, and a changed size clears the screen", async (t) => {
  const written: string[] = [];
  const screen = openScreen((text) => void written.push(text));
  const size = { rows: 10, columns: 80 };
  screen.draw(["one", "two"], size);
  screen.draw(["one", "two"], size);
  t.equal(written.length, 1);
  screen.draw(["one", "three"], size);
  t.ok(written[1]?.includes("\u{1b}[2A"), "the cursor moves up two lines");
  t.notOk(written[1]?.includes("\u{1b}[2J"));
  screen.draw(["one", "three"], { rows: 5, columns: 20 });
  t.ok(written[2]?.includes("\u{1b}[2J"));
});
