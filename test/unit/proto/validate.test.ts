import t from "tap";
import { parseFlagName, parseFlagValue, parseMirror, parseUrl, show } from "../../../proto/validate.ts";

t.test("a value with an unprintable character is refused, and the error names the character", async (t) => {
  const refused = [
    ["\n", "U+000A"],
    ["\u{85}", "U+0085"],
    ["\u{9b}", "U+009B"],
    ["\u{2028}", "U+2028"],
    ["\u{2029}", "U+2029"],
    ["\u{202e}", "U+202E"],
    ["\u{2066}", "U+2066"],
    ["\u{fffe}", "U+FFFE"],
    ["\u{fdd0}", "U+FDD0"],
    ["\u{1ffff}", "U+1FFFF"],
    ["\u{d800}", "U+D800"],
  ] as const;
  for (const [character, name] of refused) {
    const message = new RegExp(`^f: .*\\(${name.replace("+", "\\+")}\\)$`);
    t.throws(() => parseFlagValue("f", `a${character}b`), { code: "INVALID_ARGUMENT", message }, name);
    t.throws(
      () => parseMirror("f", `/srv/a${character}b`),
      { code: "INVALID_ARGUMENT", message },
      `${name} is refused in the path of a folder`,
    );
    t.throws(
      () => parseUrl("f", `https://a/${character}b`, ["https:"]),
      { code: "INVALID_ARGUMENT" },
      `${name} is refused in a URL`,
    );
  }
  t.equal(parseFlagValue("f", "ünïcödé 漢字 \u{1F600}"), "ünïcödé 漢字 \u{1F600}");
});

t.test("a value of more than 4 KiB, counted in bytes, is refused", async (t) => {
  t.equal(parseFlagValue("f", "ä".repeat(2048)).length, 2048);
  const message = /^f: the value has 4098 bytes; khw accepts at most 4096$/;
  t.throws(() => parseFlagValue("f", "ä".repeat(2049)), { code: "INVALID_ARGUMENT", message });
  t.throws(() => parseUrl("f", `https://a/${"b".repeat(4096)}`, ["https:"]), { message: /the value has \d+ bytes/ });
  t.throws(() => parseFlagName("f", "a".repeat(129)), { message: /cannot be a flag name/ });
});

t.test("a value shown in a message contains no terminal control characters", async (t) => {
  t.equal(show("a\u{1b}\u{9b}\u{202e}\n"), '"a\\u001b\u{fffd}\u{fffd}\\n"');
});
