import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { renderUnit } from "../../../../agent/render/unit.ts";

const nasty = [
  "",
  " ",
  " leading and trailing ",
  "two  spaces",
  "it's",
  '"quoted"',
  "'",
  "''",
  "\\",
  "\\\\",
  "ends in a backslash\\",
  "\\n \\x41 \\101 \\u0041 \\s",
  "%",
  "%h %i %% %n",
  "$",
  "$HOME ${HOME} $$ $(reboot) `reboot`",
  "; /bin/reboot",
  "a ; b",
  "# not a comment",
  "x --authorization-mode=AlwaysAllow",
  "' --authorization-mode=AlwaysAllow '",
  "\\' --authorization-mode=AlwaysAllow \\'",
  "@-:+!/bin/sh",
  "a,b=c;d&e|f<g>h(i)[j]{k}*?~^",
  "ünïcödé 漢字 \u{1F600} \u2028 \u00a0",
];

/**
 * Returns random values from a small alphabet of problematic characters. The fixed seed makes a failure reproducible.
 */
function randomValues(count: number): string[] {
  const alphabet = ["'", '"', "\\", "%", "$", "{", "}", " ", ";", "#", "=", "-", "n", "x4", "h", "ß", "`"];
  let seed = 20_211_121;
  const next = (below: number): number => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
    return (seed >>> 8) % below;
  };
  return Array.from({ length: count }, () =>
    Array.from({ length: next(12) }, () => alphabet[next(alphabet.length)]).join(""),
  );
}

const values = [...nasty, ...randomValues(400)];
const unit = renderUnit("kube-scheduler", {
  description: "Kubernetes Scheduler",
  flags: values.map((value, index) => [`flag-${index}`, value] as const),
});
const expected = ["/usr/local/bin/kube-scheduler", ...values.map((value, index) => `--flag-${index}=${value}`)];

/**
 * Parses the arguments of a unit's ExecStart according to systemd.service(5) and systemd.syntax(7). A backslash at the
 * end of a line continues the line. Quotes group words. Any other backslash escapes the next character. "%%" is a
 * percent sign and "$$" a dollar sign.
 */
function readExecStart(text: string): string[] {
  const lines = text.replaceAll("\\\n", " ").split("\n");
  const command = lines.find((line) => line.startsWith("ExecStart="))?.slice("ExecStart=".length) ?? "";
  const words: string[] = [];
  let word: string | undefined;
  let quote = "";
  for (let at = 0; at < command.length; at++) {
    const character = command.charAt(at);
    if (character === "\\") {
      word = (word ?? "") + unescape(command.charAt(++at));
    } else if (quote !== "") {
      if (character === quote) quote = "";
      else word += character;
    } else if (character === "'" || character === '"') {
      quote = character;
      word ??= "";
    } else if (/[ \t]/.test(character)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else {
      word = (word ?? "") + character;
    }
  }
  if (quote !== "") throw new Error("a quote is not closed");
  if (word !== undefined) words.push(word);
  return words.map((word) => expand(expand(word, "%"), "$"));
}

function unescape(character: string): string {
  if (!["\\", "'", '"'].includes(character)) throw new Error(`an escape \\${character}, which means another character`);
  return character;
}

function expand(word: string, sign: "%" | "$"): string {
  return word
    .split(sign + sign)
    .map((part) => {
      if (part.includes(sign)) throw new Error(`a lone ${sign} in ${word} would be expanded`);
      return part;
    })
    .join(sign);
}

t.test("every single-line value survives quoting according to the rules of systemd's manual", async (t) => {
  t.strictSame(readExecStart(unit), expected);
});

const systemd = "/lib/systemd/systemd";

t.test(
  "every single-line value survives quoting when parsed by systemd itself",
  { skip: !existsSync(systemd) && "systemd is not installed" },
  async (t) => {
    const folder = mkdtempSync(join(tmpdir(), "khw-quoting-"));
    t.teardown(() => rmSync(folder, { recursive: true }));
    // systemd's test mode refuses to run as root. If this test runs as root, it starts systemd as nobody, who needs
    // access to the folder.
    const nobody = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {};
    execFileSync("chmod", ["0755", folder]);
    writeFileSync(join(folder, "khw-quoting.service"), unit);
    const dump = execFileSync(systemd, ["--test", "--system", "--unit=khw-quoting.service"], {
      env: { SYSTEMD_UNIT_PATH: `${folder}:`, XDG_RUNTIME_DIR: folder },
      maxBuffer: 64 * 1024 * 1024,
      stdio: ["ignore", "pipe", "ignore"],
      ...nobody,
    }).toString();
    const line = dump.split("\n").find((line) => line.includes("Command Line: /usr/local/bin/kube-scheduler")) ?? "";
    t.strictSame(readDump(line.replace(/^\s*Command Line: /, "")), expected);
  },
);

/**
 * Splits a line of systemd's dump into words. The line is quoted as in a shell. systemd expands variables only when the
 * process starts.
 */
function readDump(line: string): string[] {
  return [...line.matchAll(/"((?:[^"\\]|\\.)*)"|\S+/g)]
    .map(([word, quoted]) => (quoted === undefined ? word : quoted.replace(/\\(.)/g, "$1")))
    .map((word) => expand(word, "$"));
}
