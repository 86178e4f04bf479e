import { readFile } from "node:fs/promises";
import { join } from "node:path";

import t from "tap";

import { findMisfits, parseSpecs, plainName } from "../../conformance/specs.ts";

const text = `# A comment.

== run ==
[a] one [Conformance]
[a] two  [Conformance]

== left out: needs a kubelet ==
[b] three [Conformance]
== left out: needs a network ==
[c] four [Conformance]
`;
const real = ["[a] one [Conformance]", "[a] two  [Conformance]", "[b] three [Conformance]", "[c] four [Conformance]"];

t.test("each heading in the list of tests starts a new group", async (t) => {
  t.strictSame(parseSpecs(text), {
    run: ["[a] one [Conformance]", "[a] two [Conformance]"],
    leftOut: [
      { reason: "needs a kubelet", names: ["[b] three [Conformance]"] },
      { reason: "needs a network", names: ["[c] four [Conformance]"] },
    ],
  });
});

t.test("a test outside of a group and an unknown heading are errors that name the line", async (t) => {
  t.throws(() => parseSpecs("[a] one\n"), /line 1: a test before the first heading/);
  t.throws(() => parseSpecs("== run ==\n== perhaps ==\n"), /line 2: not a heading: perhaps/);
});

t.test("a list that matches the upstream tests has no mismatches", async (t) => {
  t.strictSame(findMisfits(parseSpecs(text), real), []);
});

t.test("a new test, a removed test and a test in two groups are mismatches", async (t) => {
  const specs = parseSpecs(`${text}[a] one [Conformance]\n[d] gone [Conformance]\n`);
  t.strictSame(findMisfits(specs, [...real, "[e] new  [Conformance]"]), [
    "in no group: [e] new [Conformance]",
    "no such test: [d] gone [Conformance]",
    "listed twice: [a] one [Conformance]",
  ]);
});

t.test("specs.txt can be read, and each of its groups has tests", async (t) => {
  const specs = parseSpecs(await readFile(join(import.meta.dirname, "../../conformance/specs.txt"), "utf8"));
  const groups = [specs.run, ...specs.leftOut.map(({ names }) => names)];
  for (const names of groups) t.not(names.length, 0);
  t.strictSame(findMisfits(specs, groups.flat()), [], "each test is listed exactly once");
  const odd = groups.flat().filter((name) => !name.endsWith("[Conformance]") || plainName(name) !== name);
  t.strictSame(odd, [], "each name is the normalized name of a conformance test");
});
