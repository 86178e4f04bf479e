import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { Command } from "commander";
import t from "tap";
import { addFlags, givenFlags } from "../../../../client/config/flags.ts";
import { createProgram } from "../../../../client/cli/program.ts";
import { run } from "../../../../client/cli/run.ts";
import { commands } from "../../../../client/cli/command-table.ts";
import { defaultYaml } from "../../../../client/config/print.ts";
import { settingsOf } from "../../../../client/config/setting.ts";
import { schema } from "../../../../client/config/schema.ts";
import type { Context } from "../../../../client/terminal/context.ts";
import { exitCode, KhwError } from "../../../../proto/errors.ts";

const root = await mkdtemp(join(tmpdir(), "khw-args-"));
t.teardown(() => rm(root, { recursive: true }));

/** Runs the client in this process and captures its output. */
async function client(...argv: string[]) {
  let [out, err] = ["", ""];
  const context: Context = {
    write: (text) => void (out += text),
    warn: (text) => void (err += text),
    terminal: false,
    env: { HOME: root },
    signal: new AbortController().signal,
  };
  return { code: await run(argv, context), out, err };
}

t.test("--lose-since is refused without --back or together with --pause-after", async (t) => {
  const { code, message } = await refusal("upgrade", "--lose-since", "2026-01-31T12:00:00.123Z");
  t.equal(code, "INVALID_ARGUMENT");
  t.equal(message, "--lose-since needs --back");
  t.match(await refusal("upgrade", "--back", "--lose-since", "now", "--pause-after", "1"), {
    message: /--pause-after/,
  });
});

async function refusal(...argv: string[]): Promise<KhwError> {
  try {
    await client(...argv);
  } catch (error) {
    if (error instanceof KhwError) return error;
    throw error;
  }
  throw new Error("the arguments were accepted");
}

t.test("--version prints the version, alone or with other options", async (t) => {
  t.match(await client("--version"), { code: 0, out: /^khw-client \d+\.\d+\.\d+\n$/, err: "" });
  t.match(await client("-V"), { code: 0, out: /^khw-client / });
  t.match(await client("--debug", "--version"), { code: 0, out: /^khw-client \d+\.\d+\.\d+\n$/ });
});

t.test("--version loads no modules that it does not need", async (t) => {
  const main = new URL("../../../../client/cli/run.ts", import.meta.url).href;
  const script = `
    import { registerHooks } from "node:module";
    registerHooks({ resolve(specifier, context, next) {
      const found = next(specifier, context);
      if (!found.url.startsWith("node:")) console.error(found.url);
      return found;
    }});
    const { run } = await import(${JSON.stringify(main)});
    await run(["--version"], { write: () => {} });`;
  const { stderr } = await promisify(execFile)(process.execPath, ["--input-type=module", "--eval", script], {
    env: {},
  });
  const loaded = stderr
    .trim()
    .split("\n")
    .map((url) => url.replace(/.*\/client\//, ""));
  t.same(loaded, ["cli/run.ts", "client-version.ts"]);
});

t.test("the help lists every command, the flags with their defaults, and examples", async (t) => {
  const { code, out } = await client("--help");
  t.equal(code, 0);
  for (const { path } of commands) {
    t.match(out, new RegExp(`^  ${path[0]} `, "m"));
    const help = await client(...path, "--help");
    t.equal(help.code, 0);
    t.match(help.out, new RegExp(`^Usage: khw-client ${path.join(" ")}`));
    t.match(help.out, /--output <form>/, "global options are shown too");
  }
});

/** Returns the flags that a help text lists, except those that every command has. */
function listedFlags(help: string): string[] {
  const [options = ""] = help.split("Global Options:");
  return [...options.matchAll(/^ {2}(?:-., )?(--[\w-]+)/gm)].map(([, flag = ""]) => flag);
}

t.test("options are created only for the commands on the command line", async (t) => {
  const program = (argv?: readonly string[]) => {
    const made = createProgram(
      { write: () => {}, warn: () => {}, terminal: false, env: {}, signal: new AbortController().signal },
      { version: "1.2.3", done: () => {}, ...(argv && { argv }) },
    );
    return made.commands
      .flatMap((command) => (command.commands.length > 0 ? command.commands : [command]))
      .filter(({ options }) => options.length > 0)
      .map((command) => command.name());
  };
  const every = commands.map(({ path }) => path.at(-1));
  t.strictSame(program(["--output", "json", "bootstrap", "--nodes", "a"]), ["bootstrap"]);
  t.strictSame(program(["help", "lb", "create"]), ["create"]);
  for (const argv of [undefined, [], ["--help"], ["pki", "--help"], ["no-such-command"], ["completion", "bash"]]) {
    t.strictSame(new Set(program(argv)), new Set(every), argv?.join(" ") ?? "without a command line");
  }
});

t.test("bootstrap --help shows few options on a single screen, and --help-all shows every option", async (t) => {
  const { out: short } = await client("bootstrap", "--help");
  t.strictSame(listedFlags(short), [
    "--allow-downgrade",
    "--allow-removed-apis",
    "--no-rollback",
    "--force-conflicts",
    "--allow-prune",
    "--nodes",
    "--kubernetes-version",
    "--mirror",
    "--kube-apiserver-flag",
    "--public-address",
    "--credentials",
    "--load-balancer",
    "--project",
    "--zone",
    "--help-all",
    "--help",
  ]);
  t.ok(short.split("\n").length <= 55, `the short help has at most 55 lines: ${short.split("\n").length}`);
  t.match(short, /--kubernetes-version <version>\s+The Kubernetes release\s+\(default:\s+the\s+running\s+release/);
  t.match(short, /Examples:\n {2}khw-client bootstrap --nodes controller-0,1,2\n/);
  const all = await client("bootstrap", "--help-all");
  t.equal(all.code, 0);
  const listed = listedFlags(all.out);
  const flags = settingsOf(schema).map(({ setting }) => setting.flag.name);
  for (const flag of flags) t.ok(listed.includes(flag), flag);
  t.match(short, `show all ${flags.length + 5} options`);
  t.match(all.out, /In khw\.yaml under etcd\.snapshots:|In khw\.yaml under etcd:/);
});

t.test(
  "the short help of every command shows the command's own options, and names --help-all if options are left out",
  async (t) => {
    for (const { path, options = [] } of commands) {
      const [short, all] = [await client(...path, "--help"), await client(...path, "--help-all")];
      t.equal(all.code, 0, path.join(" "));
      for (const { long } of options)
        t.ok(listedFlags(short.out).includes(long ?? ""), `the short help of ${path.join(" ")} lists ${long}`);
      const left = listedFlags(all.out).filter((flag) => !listedFlags(short.out).includes(flag));
      t.equal(
        listedFlags(short.out).includes("--help-all"),
        left.length > 0,
        `the help of ${path.join(" ")} mentions --help-all only if settings are left out: ${left.length}`,
      );
    }
  },
);

t.test("--help-all works without the arguments that a command requires", async (t) => {
  t.match(await client("restart", "--help-all"), { code: 0, out: /^Usage: khw-client restart/ });
  t.match(await client("pki", "issue", "--help-all"), { code: 0, out: /--role <role>/ });
});

t.test("the client prints its help as an error if no command is given", async (t) => {
  t.match(await client(), { code: 64, out: "", err: /^Usage: khw-client / });
  t.match(await client("lb"), { code: 64, out: "", err: /^Usage: khw-client lb / });
});

const wrong: readonly [argv: readonly string[], message: RegExp, hint: RegExp][] = [
  [["bootstrp"], /^unknown command 'bootstrp'$/, /^did you mean bootstrap\?$/],
  [["lb", "creat"], /^unknown command 'creat'$/, /^did you mean create\?$/],
  [["bootstrap", "--nodse", "a"], /^unknown option '--nodse'$/, /^did you mean --nodes\?$/],
  [["bootstrap", "--nodes"], /^option '--nodes <list>' argument missing$/, /--help/],
  [["bootstrap", "controller-0"], /^too many arguments for 'bootstrap'/, /--help/],
  [["pki", "issue", "jane"], /^required option '--role <role>' not specified$/, /--help/],
  [["pki", "issue", "jane", "--role", "root"], /^option '--role <role>' argument 'root' is invalid/, /--help/],
  [["version", "--output", "xml"], /^option '-o, --output <form>' argument 'xml' is invalid/, /--help/],
  [["completion", "tcsh"], /'tcsh' is invalid for argument 'shell'/, /--help/],
];

t.test("unknown arguments are refused, with a suggestion", async (t) => {
  for (const [argv, message, hint] of wrong) {
    const error = await refusal(...argv);
    t.equal(error.code, "INVALID_ARGUMENT", argv.join(" "));
    t.equal(exitCode(error), 64);
    t.match(error.message, message);
    t.match(error.hint, hint);
  }
});

t.test("flags on the command line are checked as part of the configuration", async (t) => {
  t.match(await refusal("plan", "--nodes", "controller-0,,2"), {
    code: "INVALID_ARGUMENT",
    message: /^--nodes: a name is missing here\n {2}controller-0,,2\n {15}\^$/,
  });
  t.match(await refusal("plan", "--kube-apiserver-flag", "v=1", "--kube-apiserver-flag", "--v=2"), {
    message: /^--kube-apiserver-flag: "--v" cannot be a flag name/,
  });
  t.match(await refusal("plan", "--kube-apiserver-flag", "v"), {
    message: /^--kube-apiserver-flag: "v" is not name=value$/,
  });
  t.match(await refusal("plan", "--mirror", "https://a.example", "--mirror", "b"), {
    message: /^--mirror: "b" is not a URL$/,
  });
});

t.test("--config selects the configuration file, and errors name that file", async (t) => {
  const file = join(root, "other.yaml");
  await writeFile(file, "cluster: {nmae: a}\n");
  t.match(await refusal("plan", "--config", file), {
    code: "CONFIG_INVALID",
    message: `${file}:1:11: cluster.nmae: there is no such key`,
    hint: "did you mean name?",
  });
});

t.test("lists, maps and switches on the command line are parsed", async (t) => {
  const command = new Command();
  addFlags(command, ["gce.createAddress", "kubernetes"]);
  const given = (...argv: string[]) => givenFlags(command.parse(argv, { from: "user" }));
  t.same(given(), new Map());
  t.same(given("--create-address"), new Map([["--create-address", true]]));
  t.same(given("--no-create-address"), new Map([["--create-address", false]]));
  t.same(given("--mirror", "a", "--mirror", "b"), new Map([["--mirror", ["a", "b"]]]));
  t.same(
    given("--kube-apiserver-flag", "a=b=c", "--kube-apiserver-flag", "event-ttl-"),
    new Map([["--kube-apiserver-flag", { a: "b=c", "event-ttl": null }]]),
  );
});

t.test("the defaults are printed by config default, and the reference by config reference", async (t) => {
  t.same(await client("config", "default"), { code: 0, out: defaultYaml(), err: "" });
  t.match(await client("config", "reference"), { code: 0, out: /^\| key \| flag \| default \|/ });
});

t.test("version reports the client's runtime", async (t) => {
  t.match(await client("version"), { code: 0, out: /^khw-client .+\nNode .+\n$/ });
  const { out } = await client("version", "--output", "json");
  t.match(JSON.parse(out), { client: /^\d/, node: process.versions.node, platform: /-/ });
});

t.test("bash completes commands, options, choices and files", async (t) => {
  const script = join(root, "completion.bash");
  await writeFile(script, (await client("completion", "bash")).out);
  const complete = async (...words: string[]): Promise<string[]> => {
    const code =
      '. "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _khw_client; printf "%s\\n" "${COMPREPLY[@]}"';
    const { stdout } = await promisify(execFile)("bash", ["--norc", "-c", code, "bash", script, ...words], {
      env: process.env,
    });
    return stdout.trim().split("\n");
  };
  t.same(await complete("khw-client", "bo"), ["bootstrap"]);
  t.same((await complete("khw-client", "lb", "")).slice(0, 3), ["create", "status", "delete"]);
  t.same(await complete("khw-client", "lb", "--output", "json", "d"), ["delete"]);
  t.same(await complete("khw-client", "lb", "create", "--create-a"), ["--create-address"]);
  t.same(await complete("khw-client", "bootstrap", "--load-balancer", ""), ["gce", "none"]);
  t.same(await complete("khw-client", "bootstrap", "--credentials", `${root}/compl`), [script]);
  t.same(await complete("khw-client", "completion", "f"), ["fish"]);
  t.same(await complete("khw-client", "bootstrap", "--nodes", ""), [""]);
  t.same(await complete("khw-client", "logs", "kube-s"), ["kube-scheduler"]);
});

t.test("bash completes node names where a command expects them", async (t) => {
  const folder = join(root, "with-nodes");
  await mkdir(folder);
  const file = join(folder, "khw.yaml");
  await writeFile(file, "nodes: controller-0,1\n");
  t.equal((await client("completion", "nodes", "--config", file)).out, "controller-0\ncontroller-1\n");
  await writeFile(join(folder, "names"), "controller-0\ncontroller-1\n");
  await writeFile(join(folder, "completion"), (await client("completion", "bash")).out);
  const code = `khw-client() { test "$*" = "completion nodes" && cat ${folder}/names; }
    . ${folder}/completion; COMP_WORDS=(khw-client status contr); COMP_CWORD=2; _khw_client; echo "\${COMPREPLY[@]}"`;
  const { stdout } = await promisify(execFile)("bash", ["--norc", "-c", code], { env: process.env });
  t.equal(stdout, "controller-0 controller-1\n");
});

t.test("the completion scripts for zsh and fish contain every command", async (t) => {
  const [zsh, fish] = await Promise.all([client("completion", "zsh"), client("completion", "fish")]);
  for (const { path, summary } of commands) {
    const quoted = summary.replaceAll("'", "'\\''");
    t.ok(zsh.out.includes(`'${path.at(-1)}:${quoted}'`), `the zsh script completes ${path.join(" ")}`);
    t.ok(fish.out.includes(`-a ${path.at(-1)} -d '${quoted}'`), `the fish script completes ${path.join(" ")}`);
  }
});
