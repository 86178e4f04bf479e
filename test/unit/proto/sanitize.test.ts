import t from "tap";
import { keepLines, mapStrings, oneLine, paragraph, unsafeCharacter } from "../../../proto/sanitize.ts";

/**
 * The list contains a character of each kind: escape, C1, bidi override and isolate, mark, line separator, lone
 * surrogate, noncharacter and tag.
 */
const unsafe = [
  "\u{1b}",
  "\u{7f}",
  "\u{0}",
  "\r",
  "\u{85}",
  "\u{9b}",
  "\u{202e}",
  "\u{2066}",
  "\u{200f}",
  "\u{61c}",
  "\u{2028}",
  "\u{2029}",
  "\u{d800}",
  "\u{dc00}",
  "\u{fffe}",
  "\u{fdd0}",
  "\u{10ffff}",
  "\u{e0041}",
  "\u{fff9}",
];

t.test("each kind of unsafe character is found and replaced", async (t) => {
  for (const character of unsafe) {
    const name = `U+${character.codePointAt(0)?.toString(16)}`;
    t.equal(unsafeCharacter(`a${character}b`), character, name);
    for (const clean of [oneLine, paragraph, keepLines]) t.equal(clean(`a${character}b`), "a\u{fffd}b", name);
  }
});

t.test("text in any script is kept, and so are emoji", async (t) => {
  const text = "ünïcödé 漢字 עברית عربى हिन्दी \u{1f468}\u{200d}\u{1f469} − „“ \u{fffd}";
  t.equal(unsafeCharacter(text), undefined);
  for (const clean of [oneLine, paragraph, keepLines]) t.equal(clean(text), text);
});

t.test("line breaks are replaced, indented or kept, depending on the function", async (t) => {
  t.equal(oneLine("not all is well:\n  a\n\n\tb\r\n"), "not all is well: a / b");
  t.equal(oneLine("  indented\tonce"), "  indented once");
  t.equal(oneLine("\n\n"), "");
  t.equal(paragraph("not all:\n✔ forged\n    deeper\n"), "not all:\n  ✔ forged\n    deeper\n");
  t.equal(keepLines("a:\n\tb\r\n"), "a:\n\tb\u{fffd}\n");
});

t.test("sanitizing a text twice gives the same result as sanitizing it once", async (t) => {
  const texts = ["a\nb:\nc\td\u{1b}", "x:\r\n\r\n  y", " \n "];
  for (const clean of [oneLine, paragraph, keepLines]) {
    for (const text of texts) t.equal(clean(clean(text)), clean(text));
  }
});

t.test("long runs of blanks are sanitized in little time", async (t) => {
  const start = process.cpuUsage();
  oneLine(`${" ".repeat(2_000_000)}x\n${" \n".repeat(500_000)}`);
  const { user, system } = process.cpuUsage(start);
  t.ok((user + system) / 1e6 < 5, "sanitizing takes less than 5 s of CPU time");
});

t.test("all strings in a value are sanitized, and everything else is unchanged", async (t) => {
  const bytes = Buffer.from("a\u{1b}");
  const date = new Date(0);
  const data = { a: "x\u{1b}", b: [{ c: "\u{9b}" }, 3, null, true], bytes, date, none: undefined };
  t.strictSame(mapStrings(data, oneLine), {
    a: "x\u{fffd}",
    b: [{ c: "\u{fffd}" }, 3, null, true],
    bytes,
    date,
    none: undefined,
  });
});
