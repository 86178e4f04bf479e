import t from "tap";
import { parseNodes } from "../../../../client/config/nodes.ts";
import { KhwError } from "../../../../proto/errors.ts";

const names = (text: string): string[] => parseNodes("--nodes", text).map(({ name }) => name);

t.test("every notation for the list of nodes is accepted", async (t) => {
  const controllers = ["controller-0", "controller-1", "controller-2"];
  t.same(names("controller-0,1,2"), controllers);
  t.same(names("controller-0,controller-1,controller-2"), controllers);
  t.same(names("controller-{0..2}"), controllers);
  t.same(names("controller-{0,1,2}"), controllers);
  t.same(names(" controller-0 , 1 ,2 "), controllers);
  t.same(names("controller-0,{1..2}"), controllers);
  t.same(names("controller-9,10,11"), ["controller-9", "controller-10", "controller-11"]);
  t.same(names("a-0,1,b-{3..4},6"), ["a-0", "a-1", "b-3", "b-4", "b-6"]);
  t.same(names("zone-{a,b}-0"), ["zone-a-0", "zone-b-0"]);
  t.same(names("lonely"), ["lonely"]);
});

t.test("a node's address and port are parsed, and a missing port becomes the default port", async (t) => {
  t.same(parseNodes("--nodes", "a=10.240.0.10,b=host.example:8443,c=[fd00::1]:9000,d"), [
    { name: "a", host: "10.240.0.10", port: 7443 },
    { name: "b", host: "host.example", port: 8443 },
    { name: "c", host: "fd00::1", port: 9000 },
    { name: "d", host: undefined, port: 7443 },
  ]);
  t.same(parseNodes("--nodes", "a-0=10.0.0.1,1=10.0.0.2").at(1), { name: "a-1", host: "10.0.0.2", port: 7443 });
});

t.test("the error points at an empty, duplicate or invalid name", async (t) => {
  const cases: readonly [text: string, message: string, caret: string][] = [
    ["", "a name is missing here", "  ^"],
    ["controller-0,,2", "a name is missing here", "               ^"],
    ["controller-0,", "a name is missing here", "               ^"],
    ["controller-0,1,0", '"controller-0" is repeated', "                 ^"],
    ["controller-{0..2},1", '"controller-1" is repeated', "                    ^"],
    ["0,1", "0 is only a number, and no earlier name supplies its prefix", "  ^"],
    ["lonely,1", "1 is only a number, and no earlier name supplies its prefix", "         ^"],
    ["a,B-1", '"B-1" is not a valid name for an instance', "    ^^^"],
    ["a,b_c", '"b_c" is not a valid name for an instance', "    ^^^"],
    ["a;rm -rf /", '"a;rm -rf /" is not a valid name for an instance', "  ^^^^^^^^^^"],
    ["a\nb", '"a\\nb" is not a valid name for an instance', "  ^^^"],
    ["controller-{0..2", '"controller-{0..2" is not a valid name for an instance', "  ^^^^^^^^^^^^^^^^"],
    ["controller-{2..0}", "the range 2..0 counts down", "  ^^^^^^^^^^^^^^^^^"],
    ["c-{0..999}", "the range 0..999 has more than 99 nodes", "  ^^^^^^^^^^"],
    ["c-{0,}", '"c-" is not a valid name for an instance', "  ^^^^^^"],
    ["a=", '"" is not a host, or host:port', "    ^"],
    ["a=10.240.0.300", '"10.240.0.300" is not a host', "    ^^^^^^^^^^^^"],
    ["a=host:0", '"host:0" is not a host', "    ^^^^^^"],
    ["a=host:65536", '"host:65536" is not a host', "    ^^^^^^^^^^"],
    ["a=fd00::1", '"fd00::1" is not a host', "    ^^^^^^^"],
    ["a=b/c", '"b/c" is not a host', "    ^^^"],
    ["a-{0..1}=host", "the same address cannot belong to several nodes", "           ^^^^"],
    ["a=10.0.0.1,b=10.0.0.1", "b has the address of a", "             ^^^^^^^^^^"],
  ];
  for (const [text, message, caret] of cases) {
    try {
      parseNodes("--nodes", text);
      t.fail(`${JSON.stringify(text)} was accepted`);
    } catch (error) {
      if (!(error instanceof KhwError)) throw error;
      const [first = "", , carets] = error.message.split("\n");
      t.equal(error.code, "INVALID_ARGUMENT");
      t.ok(
        first.startsWith(`--nodes: ${message}`),
        `the error for ${JSON.stringify(text)} starts as expected: ${first}`,
      );
      t.equal(carets, caret, `the caret is under the error in ${JSON.stringify(text)}`);
    }
  }
});

t.test("an error shows only the part of a long list of nodes that surrounds the mistake", async (t) => {
  const text = `${Array.from({ length: 40 }, (_, index) => `node-${index}`).join(",")},node-7`;
  try {
    parseNodes("--nodes", text);
    t.fail("was accepted");
  } catch (error) {
    if (!(error instanceof KhwError)) throw error;
    const [, shown = "", carets = ""] = error.message.split("\n");
    t.ok(shown.length <= 102);
    t.equal(shown.slice(carets.indexOf("^"), carets.lastIndexOf("^") + 1), "node-7");
  }
});

t.test("a list that exceeds the maximum number of nodes is refused", async (t) => {
  t.throws(() => parseNodes("--nodes", "a-{0..60},b-{0..60}"), { message: /more than 99 nodes/ });
});
