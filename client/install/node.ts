import { spawn } from "node:child_process";
import type { ChildProcessWithoutNullStreams } from "node:child_process";
import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";
import type { Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { isErrno } from "../../proto/errno.ts";
import { type ErrorCode, KhwError } from "../../proto/errors.ts";
import type { NodeSpec } from "../config/nodes.ts";
import { describeCertificate } from "../pki/pem.ts";
import type { Identity } from "../pki/management/issue.ts";
import { readRegister, refuseRevoked } from "../pki/management/register.ts";
import { openSigner } from "../pki/management/sign-agent.ts";
import type { Signer } from "../pki/management/sign-agent.ts";
import type { Deb } from "./deb.ts";
import { explainStderr, keepEnd, lastLines, printable } from "./explain.ts";
import { issuedBeforehand, whyNew, whyRevoked } from "./identity.ts";
import type { Present } from "./identity.ts";
import { remoteCommand } from "./script.ts";
import { commandFor } from "./transport.ts";
import type { TransportOptions } from "./transport.ts";

export interface InstallRequest {
  readonly deb: Deb;
  /** The folder of the management identities. */
  readonly folder: string;
  /** The management CA's certificate in PEM. */
  readonly ca: string;
  /** The validity period of a node's new certificate, in days. */
  readonly days: number;
  readonly transport: TransportOptions;
  /** The user's environment for ssh and gcloud, including PATH, HOME and SSH_AUTH_SOCK. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
  /** The time limit for each node, in milliseconds. */
  readonly timeout: number;
}

export interface Installed {
  /** False if the node already had this package and a valid identity. */
  readonly changed: boolean;
  readonly version: string;
}

/**
 * The choice for the node's identity: keep the current identity, sign a certificate for a key that the node creates, or
 * use an identity that was issued beforehand.
 */
type Choice =
  | { readonly kind: "keep" }
  | { readonly kind: "request"; readonly reason: string; readonly signer: Signer }
  | { readonly kind: "given"; readonly identity: Identity };

/** The result of the script on the node, as the script reports it; undefined if the script did not finish. */
type Verdict = Installed | KhwError | undefined;

/** The error codes that the script can report, each with a hint. */
const failures: readonly (readonly [code: ErrorCode, hint: string])[] = [
  ["INVALID_ARGUMENT", "build the package for each architecture with npm run deb, which writes to build/deb"],
  ["UNREACHABLE", "run the command again"],
  ["PACKAGE_FAILED", "repair apt on the node (try sudo apt-get update), then run the command again"],
  ["IO_FAILED", "check that the node's disk is neither full nor read-only"],
  [
    "CREDENTIAL_INVALID",
    "check that the .deb has this client's version; for details, run khw-agent --request on the node",
  ],
  ["SERVICE_FAILED", "on the node, run journalctl --unit khw-agent and khw-agent --check-config"],
];

/**
 * Copies the package to a node. If the node has no valid identity, also gives the node an identity. Waits until the
 * node's agent is running, and reports progress.
 * @throws KhwError with the message from ssh, apt or the agent
 */
export async function installOn(
  node: NodeSpec,
  request: InstallRequest,
  progress: (text: string) => void,
): Promise<Installed> {
  const deadline = AbortSignal.timeout(request.timeout);
  const [program, ...argv] = commandFor(node, remoteCommand, request.transport);
  const child = spawn(program, argv, {
    env: { ...request.env },
    signal: AbortSignal.any([request.signal, deadline]),
  });
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (more: string) => (stderr = keepEnd(stderr, more)));
  const ended = new Promise<NodeJS.ErrnoException | undefined>((resolve) => {
    child.once("error", resolve);
    child.once("close", () => resolve(undefined));
  });
  let last = "connecting";
  const tell = (text: string): void => progress((last = text));
  // Waits until the connection is closed, even if `converse` throws. The node can then remove its temporary files.
  const [spoken] = await Promise.allSettled([converse(child, { node, request, progress: tell }), ended]);
  if (spoken.status === "rejected") throw spoken.reason;
  const { begun, verdict } = spoken.value;
  if (verdict !== undefined && !(verdict instanceof KhwError)) return verdict;

  request.signal.throwIfAborted();
  if (deadline.aborted)
    throw new KhwError("TIMEOUT", `not done after ${request.timeout / 1000} s, last progress: ${last}`);
  if (verdict !== undefined) {
    throw new KhwError(verdict.code, [verdict.message, lastLines(stderr)].filter(Boolean).join(": "), {
      hint: verdict.hint,
    });
  }
  throw disconnected(begun ? `${program} ended while ${last}` : program, stderr, await ended);
}

/** Returns the error for a connection that failed, or that ended before the script finished. */
function disconnected(what: string, stderr: string, cause: NodeJS.ErrnoException | undefined): KhwError {
  if (isErrno(cause, "ENOENT")) {
    const hint = "install the program, or use --via to connect in another way";
    return new KhwError("PROGRAM_MISSING", `${what} is not on this workstation`, { hint, cause });
  }
  const { message, hint } = explainStderr(stderr);
  return new KhwError("UNREACHABLE", `${what}: ${message}`, { hint, cause });
}

interface ConverseOptions {
  readonly node: NodeSpec;
  readonly request: InstallRequest;
  readonly progress: (text: string) => void;
}

/**
 * Exchanges messages with the script on the node until the script ends. `begun` is false if the script ended before it
 * sent `ready`.
 */
async function converse(
  child: ChildProcessWithoutNullStreams,
  options: ConverseOptions,
): Promise<{ readonly begun: boolean; readonly verdict: Verdict }> {
  const { node, request, progress } = options;
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  try {
    const present = await readPresent(lines);
    if (present === undefined) return { begun: false, verdict: undefined };
    const choice = await chooseIdentity(present, options);
    progress(`copying ${request.deb.name} (${(request.deb.size / 1e6).toFixed(1)} MB)`);
    await sendChoice(child.stdin, request, choice);
    const sign = async (asked: string): Promise<void> => {
      if (choice.kind !== "request") throw new TypeError("the node requested a certificate that was not offered");
      const certificate = await choice.signer.sign(node.name, asked);
      progress(`new identity, because ${choice.reason}: ${describeCertificate(certificate)}`);
      await send(child.stdin, lineOf(choice.signer.ca, certificate));
    };
    return { begun: true, verdict: await readVerdict(lines, progress, sign) };
  } finally {
    child.stdin.destroy();
  }
}

/** Reads the node's current state, up to the line `ready`; undefined if the script ended before that line. */
async function readPresent(lines: AsyncIterator<string>): Promise<Present | undefined> {
  const facts = new Map<string, string>();
  for (let line = await lines.next(); line.done !== true; line = await lines.next()) {
    const [word, value] = splitLine(line.value);
    if (word === "ready") {
      return { ca: facts.get("ca.pem"), certificate: facts.get("agent.pem"), hasKey: facts.has("agent-key.pem") };
    }
    facts.set(word, Buffer.from(value, "base64").toString());
  }
  return undefined;
}

/** Chooses the node's identity before anything is copied, and reads the CA's key if needed. */
async function chooseIdentity(
  present: Present,
  { node: { name }, request: { folder, ca, days }, progress }: ConverseOptions,
): Promise<Choice> {
  const register = await readRegister(folder);
  refuseRevoked(register, name);
  const reason = whyNew(name, present, ca) ?? whyRevoked(present, register);
  if (reason === undefined) return { kind: "keep" };
  const identity = await issuedBeforehand(name, folder, register);
  if (identity === undefined) return { kind: "request", reason, signer: await openSigner({ folder, days }) };
  progress(
    `using the identity that was issued beforehand, because ${reason}: ${describeCertificate(identity.certificate)}`,
  );
  return { kind: "given", identity };
}

/** Sends the first part of the script's input. */
async function sendChoice(stdin: Writable, { deb, ca }: InstallRequest, choice: Choice): Promise<void> {
  const given = choice.kind === "given" ? lineOf(ca, choice.identity.certificate, choice.identity.key) : "";
  async function* bytes(): AsyncGenerator<string | Buffer> {
    yield `${deb.size}\n${choice.kind}\n${given}`;
    yield* createReadStream(deb.path);
  }
  await send(stdin, bytes());
}

/** Encodes each text in base64, on a line of its own. */
function lineOf(...texts: readonly string[]): string {
  return texts.map((text) => `${Buffer.from(text).toString("base64")}\n`).join("");
}

/** A script that ends early reports the reason itself, so a closed pipe is not an error here. */
async function send(stdin: Writable, bytes: string | AsyncIterable<string | Buffer>): Promise<void> {
  try {
    await pipeline(typeof bytes === "string" ? [bytes] : bytes, stdin, { end: false });
  } catch (error) {
    if (!isClosedPipe(error)) throw error;
  }
}

async function readVerdict(
  lines: AsyncIterator<string>,
  progress: (text: string) => void,
  sign: (request: string) => Promise<void>,
): Promise<Verdict> {
  let verdict: Verdict;
  for (let line = await lines.next(); line.done !== true; line = await lines.next()) {
    const [word, value] = splitLine(line.value);
    const [first, rest] = splitLine(value);
    if (word === "progress") progress(value);
    if (word === "request") await sign(Buffer.from(value, "base64").toString());
    if (word === "done") verdict = { changed: first === "installed", version: rest };
    if (word === "failed") {
      const [code, hint] = failures.find(([code]) => code === first) ?? (["INTERNAL", undefined] as const);
      verdict = new KhwError(code, rest, { hint });
    }
  }
  return verdict;
}

function splitLine(line: string): readonly [string, string] {
  const [word = "", ...rest] = printable(line).split(" ");
  return [word, rest.join(" ")];
}

function isClosedPipe(error: unknown): boolean {
  return isErrno(error, "EPIPE", "ERR_STREAM_PREMATURE_CLOSE", "ECONNRESET");
}
