import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { commands, families } from "../../../client/cli/command-table.ts";
import { flagNames } from "../../../client/config/flags.ts";
import { schema } from "../../../client/config/schema.ts";
import { settingsOf } from "../../../client/config/setting.ts";
import { manPage } from "../../../packaging/man-page.ts";

const root = join(import.meta.dirname, "../../..");
const page = manPage();
const agentPage = readFileSync(join(root, "packaging/khw-agent.8"), "utf8");

/** Returns the page's text without roff's escapes and macros. */
function plain(roff: string): string {
  return roff
    .replaceAll(/\\f[BIR]|\\%|\\&/g, "")
    .replaceAll("\\-", "-")
    .replaceAll("\\(aq", "'")
    .replaceAll("\\(ti", "~");
}

/** Returns the part of the page that describes a command. */
function partOf(path: readonly string[]): string {
  const text = plain(page);
  const start = text.indexOf(`.SS "${path.join(" ")}"\n`);
  return start < 0 ? "" : text.slice(start, text.indexOf("\n.S", start + 1));
}

t.test(
  "the man page of the client lists every command with its summary, arguments, options, flags and examples",
  async (t) => {
    for (const { path, summary, options = [], arguments: names = [], settings = [], examples = [] } of commands) {
      const part = partOf(path);
      t.match(part.toLowerCase(), summary.toLowerCase(), path.join(" "));
      const flags = [...flagNames(settings), ...options.flatMap(({ long }) => long ?? [])];
      for (const flag of flags) t.match(part, new RegExp(`${flag}\\b`), `the section ${path.join(" ")} lists ${flag}`);
      for (const argument of names)
        t.match(part, `.TP\n${argument.name()}\n`, `the section ${path.join(" ")} lists ${argument.name()}`);
      for (const example of examples) t.match(part, example);
    }
    t.equal(page.split("\n.SS ").length - 1, commands.length, "the page has one section for each command and no other");
    t.ok(commands.every(({ path: [first, second] }) => second === undefined || first in families));
  },
);

t.test(
  "the man page of the client lists every setting with its key in khw.yaml, and every global option",
  async (t) => {
    const text = plain(page);
    for (const { path, setting } of settingsOf(schema)) {
      t.match(text, new RegExp(`^${setting.flag.name}\\b.* \\(${path.join(".")}\\)$`, "m"), path.join("."));
    }
    for (const flag of ["--config", "--output", "--debug", "--version", "--help"])
      t.match(text, new RegExp(`\\.TP\n.*${flag}`), flag);
  },
);

t.test("no text in the man page is interpreted as a roff command by mistake", async (t) => {
  const macros = new Set(page.split("\n").flatMap((line) => /^[.'](\S+)/.exec(line)?.[1] ?? []));
  const known = new Set(['\\"', "TH", "SH", "SS", "TP", "PP", "EX", "EE", "B", "I", "BR", "RI", "IR"]);
  t.strictSame(
    [...macros].filter((macro) => !known.has(macro)),
    [],
  );
  t.notMatch(page, /@[A-Z]+@/, "every placeholder is replaced");
});

t.test("the man page of the agent lists every option of khw-agent --help", async (t) => {
  const usage = execFileSync(process.execPath, [join(root, "agent/main.ts"), "--help"], { encoding: "utf8" });
  const options = [...usage.matchAll(/--[a-z-]+/g)].map(([option]) => option).filter((option) => option !== "--help");
  t.ok(options.length > 3, usage);
  for (const option of options) t.match(plain(agentPage), option);
});

t.test("the man page of the agent lists every key of the agent's configuration", async (t) => {
  const groups: string[] = [];
  for (const line of readFileSync(join(root, "packaging/config.yaml"), "utf8").split("\n")) {
    const [, indent, key] = /^#? ?( *)([A-Za-z]+):/.exec(line) ?? [];
    if (indent === undefined || key === undefined) continue;
    groups.splice(indent.length / 2, groups.length, key);
    const isGroup = /:\s*$/.test(line);
    if (!isGroup) t.match(plain(agentPage), groups.join("."), groups.join("."));
  }
});

const groff = "/usr/bin/groff";
t.test(
  "groff reports no problem in the man pages",
  { skip: existsSync(groff) ? false : "groff is not installed" },
  async (t) => {
    for (const [name, text] of [
      ["khw-client.1", page],
      ["khw-agent.8", agentPage],
    ] as const) {
      const { status, stderr } = spawnSync(groff, ["-ww", "-man", "-Tutf8"], { input: text, encoding: "utf8" });
      t.strictSame([status, stderr], [0, ""], name);
    }
  },
);
