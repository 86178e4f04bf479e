import t from "tap";
import { passagesOfPage, passagesOfSource } from "../../prose/extract.ts";
import { breaches, readRules, whatsPerThousand } from "../../prose/rules.ts";

const rules = readRules();

t.test("comments, adjacent line comments and messages are extracted with their line numbers", async (t) => {
  const source = [
    "/** Returns the name. */",
    "export const name = 1;",
    "// The first line",
    "// and the second.",
    'export const text = "three words here";',
    "export const template = `the node ${name} is gone`;",
    'export const short = "two words";',
  ].join("\n");
  t.same(passagesOfSource("a.ts", source), [
    { kind: "comment", line: 1, text: "Returns the name." },
    { kind: "comment", line: 3, text: "The first line and the second." },
    { kind: "message", line: 5, text: "three words here" },
    { kind: "message", line: 6, text: "the node X is gone" },
  ]);
});

t.test("a page is split into paragraphs, list items and cells, without its code", async (t) => {
  const page = "# A title\n\nOne line\nand the next.\n\n```\nWhat a command\n```\n\n- an item\n- `what` in code\n";
  t.same(
    passagesOfPage(page).map(({ line, text }) => [line, text]),
    [
      [1, "A title"],
      [3, "One line and the next."],
      [10, "an item"],
      [11, "`code` in code"],
    ],
  );
});

t.test("each language rule detects a text that breaks the rule", async (t) => {
  const found = (text: string): number => breaches({ kind: "comment", line: 1, text }, rules).length;
  for (const { word } of rules.openings) t.ok(found(`${word} the agent does`) > 0, word);
  for (const text of [
    "it begins anew",
    "it shall end",
    "for whoever calls",
    "the client is told of it",
    "this tells of a crash",
    "there are none",
    "that which fails",
    "what stands there",
    "nobody knows",
  ]) {
    t.ok(found(text) > 0, text);
  }
  t.equal(found("Returns the release that the node runs."), 0);
});

t.test('the frequency of "what" is measured in words per thousand words', async (t) => {
  const passages = [{ kind: "comment", line: 1, text: "What it does, and what not." }] as const;
  t.equal(whatsPerThousand(passages), (1000 * 2) / 6);
});
