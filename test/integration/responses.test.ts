import { createReadStream } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import t, { type Test } from "tap";
import { extract } from "tar-stream";
import type { Context } from "../../client/terminal/context.ts";
import { programs } from "../../proto/components.ts";
import { formatError, toKhwError } from "../../proto/errors.ts";
import { unsafeCharacter } from "../../proto/sanitize.ts";
import { type Answers, halfPair, serveAnswers, textFields } from "../fixtures/hostile-agents.ts";
import { startScripted } from "../fixtures/scripted-agents.ts";
import { wellStatus } from "../fixtures/status.ts";

/** The test runs the client many times, which is slow on a busy machine. */
const timeout = 300_000;
t.setTimeout(timeout);

const hostile = "controller-0";
const neighbour = "controller-1";

/**
 * The text contains CSI, OSC, C1 and bidirectional controls, line breaks of all kinds, NUL, half a surrogate pair,
 * noncharacters, and a tag character.
 */
const evil = [
  "\u{1b}[2J\u{1b}]0;title\u{7}\u{9b}31m\u{9d}0;x\u{9c}",
  "\u{202e}\u{2066}\u{200f}\u{61c}",
  "\r\u{85}\u{2028}\u{2029}\u{b}\u{c}",
  `\u{0}${halfPair}\u{fffe}\u{fdd0}\u{e0041}`,
  "\n✔ FORGED: all is well\n\n✖ FORGED: not well\n",
].join("");

/** The valid values that commands need in order to continue. All other texts are hostile. */
const sound: Readonly<Record<string, string>> = {
  "khw.agent.v1.GetInfoResponse.architecture": "amd64",
  "khw.agent.v1.Identity.name": hostile,
  "khw.agent.v1.Identity.internal_ip": "10.240.0.10",
  "khw.agent.v1.ErrorDetail.code": "SERVICE_FAILED",
  "khw.agent.v1.Component.name": "kube-apiserver",
  "khw.agent.v1.PlannedStep.id": "step",
  "khw.agent.v1.FileDifference.step": "step",
};

const evilAnswers: Answers = {
  text: (message, field) => sound[`${message}.${field}`] ?? `${field}${evil}`,
  number: (_, field) => (field.endsWith("unix_millis") ? Date.UTC(2026, 10, 23) : 1),
  count: () => 2,
  present: true,
};

/**
 * Makes the agent report no preflight findings, an operation that succeeds, and a node that does not need to be
 * drained.
 */
const goingOn: Answers = {
  ...evilAnswers,
  number: (message, field) =>
    field === "state" && message.endsWith(".Operation") ? 2 : evilAnswers.number(message, field),
  count: (message, field) => (message.endsWith(".PreflightResponse") && field === "findings" ? 0 : 2),
};

/** Makes the agent respond with harmless strings. The value of each field is the field's name. */
const mildAnswers: Answers = {
  ...goingOn,
  text: (message, field) => sound[`${message}.${field}`] ?? field,
};

const neighbourAnswers: Answers = {
  ...mildAnswers,
  text: (message, field) =>
    message.endsWith(".Identity") && field === "name"
      ? neighbour
      : message.endsWith(".Identity") && field === "internal_ip"
        ? "10.240.0.11"
        : message.endsWith(".Snapshot") && field === "id"
          ? "sound"
          : mildAnswers.text(message, field),
};

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
  readonly error: ReturnType<typeof toKhwError> | undefined;
}

/** Starts two agents. The first returns the given answers, and the second returns harmless answers. */
async function start(t: Test, answers: () => Answers) {
  const folder = await mkdtemp(join(tmpdir(), "khw-responses-"));
  t.teardown(() => rm(folder, { recursive: true }));
  const cluster = await startScripted({
    [hostile]: { status: wellStatus(hostile), register: (server) => serveAnswers(server, answers) },
    [neighbour]: { status: wellStatus(neighbour), register: (server) => serveAnswers(server, () => neighbourAnswers) },
  });
  t.teardown(() => cluster[Symbol.asyncDispose]());
  return async (argv: readonly string[], changes: Partial<Context> = {}): Promise<Ran> => {
    const client = cluster.client(argv, { env: { HOME: folder }, ...changes });
    try {
      return { code: await client.code, out: client.out(), err: client.err(), error: undefined };
    } catch (thrown) {
      const error = toKhwError(thrown);
      return { code: 255, out: client.out(), err: `${client.err()}${formatError(error)}\n`, error };
    }
  };
}

/**
 * The arguments with digests for every program that a controller downloads. With these arguments, bootstrap continues
 * even if the agents report no digests.
 */
const digests = [
  ...programs.map((program) => `--sha256=${program}=${"0".repeat(64)}`),
  `--etcd-sha256=amd64=${"0".repeat(64)}`,
];

/** Returns the arguments of every command that calls agents. */
function commandsIn(folder: string): readonly (readonly string[])[] {
  const credentials = ["--credentials", folder, "--public-address", "203.0.113.7"];
  return [
    ["status"],
    ["status", "-o", "wide"],
    ["status", "-o", "json"],
    ["status", "-o", "yaml"],
    ["logs", "nginx"],
    ["logs", "nginx", "-o", "json"],
    ["events"],
    ["events", "-o", "json"],
    ["diff"],
    ["diff", "-o", "json"],
    ["restart", hostile, "kube-scheduler", "--force"],
    ["drain", hostile, "--force"],
    ["undrain", hostile, "-o", "json"],
    ["doctor", "--verbose", ...credentials],
    ["doctor", "-o", "json", ...credentials],
    ["etcd", "status"],
    ["etcd", "status", "-o", "json"],
    ["etcd", "snapshot", "list"],
    ["etcd", "snapshot", "list", "-o", "json"],
    ["etcd", "snapshot", "save", hostile],
    ["etcd", "snapshot", "save", hostile, "-o", "json"],
    ["etcd", "snapshot", "verify", "latest"],
    ["etcd", "restore", "latest"],
    ["etcd", "defrag", "--force"],
    ["encryption", "status", ...credentials],
    ["encryption", "status", "-o", "json", ...credentials],
    ["encryption", "rotate", ...credentials],
    ["plan", ...credentials],
    ["plan", "-o", "json", ...credentials],
    ["bootstrap", ...credentials, "--verify-timeout", "1ms"],
    ["bootstrap", ...credentials, ...digests, "--verify-timeout", "1ms"],
    ["bootstrap", "-o", "json", ...credentials, ...digests, "--verify-timeout", "1ms"],
    ["verify", ...credentials, "--verify-timeout", "1ms"],
    ["enrol", "--renew"],
  ];
}

/** Asserts that the output contains no terminal control characters and no line that an agent has forged. */
function isClean(t: Test, { out, err }: Pick<Ran, "out" | "err">, title: string): void {
  for (const text of [out, err]) {
    t.equal(
      unsafeCharacter(text.replaceAll("\n", "").replaceAll("\t", "")),
      undefined,
      `${title}: the output has no unsafe character`,
    );
    t.notMatch(text, /^[✔✖] FORGED/m, `${title}: the output has no forged line`);
  }
}

function stringsOf(data: unknown): string[] {
  if (typeof data === "string") return [data];
  return typeof data === "object" && data !== null ? Object.values(data).flatMap(stringsOf) : [];
}

t.test(
  "no text from an agent can control the terminal or forge a line in any command or output format",
  { timeout },
  async (t) => {
    let answers = evilAnswers;
    const run = await start(t, () => answers);
    const folder = await mkdtemp(join(tmpdir(), "khw-credentials-"));
    t.teardown(() => rm(folder, { recursive: true }));
    await run(["pki", "create", "--credentials", folder, "--public-address", "203.0.113.7"]);
    const shown = new Set<string>();
    const modes: readonly Answers[] = [
      evilAnswers,
      goingOn,
      { ...evilAnswers, failure: "detail" },
      { ...evilAnswers, failure: { details: `details${evil.replaceAll(halfPair, "")}` } },
    ];
    for (const [index, mode] of modes.entries()) {
      answers = mode;
      for (const argv of commandsIn(folder)) {
        const ran = await run(argv);
        const title = `${argv.slice(0, 4).join(" ")} (${index})`;
        isClean(t, ran, title);
        if (ran.error !== undefined) t.not(ran.error.code, "INTERNAL", `${title}: ${ran.error.stack}`);
        if (argv.includes("json")) {
          for (const line of jsonIn(ran.out)) {
            const found = stringsOf(line).map((text) => unsafeCharacter(text.replaceAll(/[\n\t]/g, "")));
            t.ok(
              found.every((character) => character === undefined),
              `${title}: the JSON has no unsafe character`,
            );
          }
        }
        for (const [, field = ""] of `${ran.out}${ran.err}`.matchAll(/([a-z_0-9]+)\u{fffd}\[2J/gu)) shown.add(field);
      }
    }
    // The test is meaningful only if the hostile texts reach the output.
    const fields = textFields().map((name) => name.slice(name.lastIndexOf(".") + 1));
    const reached = fields.filter((field) => shown.has(field));
    t.comment(`shown: ${[...shown].sort().join(" ")}`);
    t.ok(reached.length > 40, `more than 40 text fields reach the output: ${reached.length} of ${fields.length}`);
  },
);

/** Parses text that is a single JSON document or contains one document per line. */
function jsonIn(text: string): unknown[] {
  if (text === "") return [];
  try {
    return [JSON.parse(text)];
  } catch {
    return text
      .trimEnd()
      .split("\n")
      .map((line): unknown => JSON.parse(line));
  }
}

t.test("text from agents is sanitized in the files of a support bundle", { timeout }, async (t) => {
  const run = await start(t, () => evilAnswers);
  const folder = await mkdtemp(join(tmpdir(), "khw-bundle-"));
  t.teardown(() => rm(folder, { recursive: true }));
  const file = join(folder, "b.tar.gz");
  const ran = await run(["support-bundle", "--file", file]);
  t.equal(ran.code, 0);
  isClean(t, ran, "support-bundle");
  const unpack = extract();
  const texts: string[] = [];
  unpack.on("entry", async (_header, stream, next) => {
    let text = "";
    for await (const chunk of stream) text += String(chunk);
    texts.push(text);
    next();
  });
  await pipeline(createReadStream(file), createGunzip(), unpack);
  t.ok(texts.length > 10);
  for (const text of texts) isClean(t, { out: text, err: "" }, "entry");
});

t.test("text from agents is sanitized in status --watch, both as text and as JSON", { timeout }, async (t) => {
  const run = await start(t, () => evilAnswers);
  for (const form of ["text", "json", "yaml"]) {
    const ending = new AbortController();
    let seen = "";
    const ran = await run(["status", "--watch", "-o", form], {
      signal: ending.signal,
      write: (text) => {
        seen += text;
        if (seen.includes("[2J") && seen.includes("controller-1")) ending.abort();
      },
    });
    isClean(t, { out: seen, err: ran.err }, form);
  }
});

t.test(
  "absurd numbers from one agent neither hide the other node nor cause an INTERNAL error",
  { timeout },
  async (t) => {
    const isTime = (field: string): boolean => field.endsWith("unix_millis");
    const isEnum = (field: string): boolean =>
      ["state", "kind", "phase", "origin", "outcome", "policy"].includes(field);
    const times = (time: number | bigint): Answers => ({
      ...mildAnswers,
      number: (_, name) => (isTime(name) ? time : 1),
    });
    const cases: Readonly<Record<string, Answers>> = {
      "times too late": times(9_000_000_000_000_000n),
      "times too early": times(-9_000_000_000_000_000n),
      "times beyond JavaScript's numbers": times(2n ** 63n - 1n),
      "counts and sizes beyond JavaScript's numbers": {
        ...mildAnswers,
        number: (_, field) => (isTime(field) || isEnum(field) ? 1 : 2n ** 64n - 1n),
      },
      "no number": { ...mildAnswers, number: (_, field) => (field === "load" ? NaN : 1) },
      "an infinite number": { ...mildAnswers, number: (_, field) => (field === "load" ? Infinity : 1) },
      "unknown enumerations": { ...mildAnswers, number: (_, field) => (isEnum(field) ? 2_147_483_647 : 1) },
      "negative enumerations": { ...mildAnswers, number: (_, field) => (isEnum(field) ? -1 : 1) },
      "empty messages": { ...mildAnswers, text: () => "", number: () => 0, count: () => 0, present: false },
    };
    let answers = mildAnswers;
    const run = await start(t, () => answers);
    const commands = [
      ["status"],
      ["status", "-o", "yaml"],
      ["logs", "nginx"],
      ["events", "-o", "json"],
      ["etcd", "status"],
      ["etcd", "snapshot", "list", "-o", "json"],
    ];
    const alone = [
      ["restart", hostile, "kube-scheduler", "--force"],
      ["undrain", hostile],
      ["etcd", "snapshot", "save", hostile],
      ["etcd", "restore", "latest"],
    ];
    for (const [title, next] of Object.entries(cases)) {
      answers = next;
      for (const argv of [...commands, ...alone]) {
        const ran = await run(argv);
        const name = `${argv.join(" ")}: ${title}`;
        if (ran.error !== undefined) t.not(ran.error.code, "INTERNAL", `${name}: ${ran.error.stack}`);
        if (!alone.includes(argv)) t.match(`${ran.out}${ran.err}`, neighbour, `${name}: the other node is shown`);
      }
    }
  },
);

t.test(
  "an absurd time from one agent is reported with its field name and hides no other node's snapshots",
  { timeout },
  async (t) => {
    const answers: Answers = {
      ...evilAnswers,
      text: (_, field) => field,
      number: (_, field) => (field === "taken_unix_millis" ? 8_640_000_000_000_001 : 1),
    };
    const run = await start(t, () => answers);
    const { code, out, err } = await run(["etcd", "snapshot", "list"]);
    t.equal(code, 3);
    t.match(out, /^sound .* controller-1/m);
    t.match(err, /^controller-0: the agent at .* sent an invalid answer: snapshots\[0\]\.takenUnixMillis is 864/m);
    t.match(err, /^hint: /m);
  },
);
