import { get, type IncomingMessage } from "node:http";
import { KhwError } from "../../proto/errors.ts";
import type { Identity } from "../../proto/gen/khw/agent/v1/agent.ts";
import { parseIPv4, parseNodeName, refuse, show } from "../../proto/validate.ts";
import { deadline } from "./deadline.ts";
import { codeOf } from "./io.ts";
import type { Clock } from "./os.ts";

export interface MetadataOptions {
  readonly signal: AbortSignal;
  readonly clock: Clock;
  readonly baseUrl?: string;
  /** How long to try, over all. */
  readonly deadlineMillis?: number;
  /** How long one request may take. */
  readonly attemptMillis?: number;
}

/** Reads one value below /computeMetadata/v1/; undefined when the server has none of that name. */
type Read = (name: string) => Promise<string | undefined>;

const maxValueBytes = 4096;
const firstPauseMillis = 250;
const longestPauseMillis = 4000;

/**
 * Who and where this instance is, from Compute Engine's metadata server.
 * @throws KhwError METADATA_UNAVAILABLE when it does not answer in time, or not as Google's does.
 */
export async function readIdentity(options: MetadataOptions): Promise<Identity> {
  const { signal, baseUrl = "http://metadata.google.internal", deadlineMillis = 60_000 } = options;
  const seen = new Map<string, string>();
  using limit = deadline(signal, deadlineMillis, () => {
    const last = [...seen].map(([name, what]) => `${name}: ${what}`).join("; ") || "no answer";
    return unavailable(`${baseUrl} did not answer within ${deadlineMillis / 1000} s; last: ${last}`);
  });
  return await parseIdentity((name) => readValue(name, { ...options, baseUrl, seen, signal: limit.signal }));
}

async function parseIdentity(read: Read): Promise<Identity> {
  const required = async (name: string): Promise<string> =>
    (await read(name)) ?? refuse(name, "the metadata server has no such value");
  try {
    const [name, internalIp, zonePath, project, defaultRegion] = await Promise.all([
      required("instance/name"),
      required("instance/network-interfaces/0/ip"),
      required("instance/zone"),
      required("project/project-id"),
      read("project/attributes/google-compute-default-region"),
    ]);
    const zone = parseZone(zonePath);
    return {
      name: parseNodeName("instance/name", name),
      internalIp: parseIPv4("instance/network-interfaces/0/ip", internalIp),
      zone,
      region: parseRegion(defaultRegion ?? zone.slice(0, zone.lastIndexOf("-"))),
      project: parseProject(project),
    };
  } catch (error) {
    if (error instanceof KhwError && error.code === "INVALID_ARGUMENT") throw unavailable(error.message, error);
    throw error;
  }
}

interface ReadOptions extends MetadataOptions {
  readonly baseUrl: string;
  /** What each value's last request came to, for the time-out's message. */
  readonly seen: Map<string, string>;
}

async function readValue(name: string, options: ReadOptions): Promise<string | undefined> {
  const { signal, clock, seen } = options;
  for (let pause = firstPauseMillis; ; pause = Math.min(2 * pause, longestPauseMillis)) {
    const answer = await request(name, options);
    switch (answer.kind) {
      case "value":
        seen.delete(name);
        return answer.text;
      case "absent":
        seen.delete(name);
        return undefined;
      case "failed":
        seen.set(name, answer.why);
        await clock.delay(pause, signal);
    }
  }
}

type Answer =
  | { readonly kind: "value"; readonly text: string }
  | { readonly kind: "absent" }
  | { readonly kind: "failed"; readonly why: string };

async function request(name: string, options: ReadOptions): Promise<Answer> {
  const { baseUrl, signal, attemptMillis = 3000 } = options;
  const attempt = AbortSignal.timeout(attemptMillis);
  try {
    const response = await open(`${baseUrl}/computeMetadata/v1/${name}`, AbortSignal.any([signal, attempt]));
    const text = await readShort(response);
    const { statusCode = 0, headers } = response;
    if (statusCode >= 500 || statusCode === 429) return { kind: "failed", why: `HTTP ${statusCode}` };
    if (headers["metadata-flavor"] !== "Google") {
      throw unavailable(`${baseUrl} is not Google's: its answer to ${name} lacks the header Metadata-Flavor: Google`);
    }
    if (statusCode === 404) return { kind: "absent" };
    if (statusCode !== 200) throw unavailable(`${baseUrl} answered ${name} with HTTP ${statusCode}`);
    return { kind: "value", text };
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof KhwError) throw error;
    if (attempt.aborted) return { kind: "failed", why: `no answer within ${attemptMillis / 1000} s` };
    if (!(error instanceof Error)) throw error;
    return { kind: "failed", why: codeOf(error) || error.message };
  }
}

/** By Node's own client, since the agent asks at each start: undici, for all that it can, would stay in memory for ever. */
function open(url: string, signal: AbortSignal): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    // An agent of its own, so that no proxy of the environment comes between and no connection stays.
    get(url, { agent: false, headers: { "metadata-flavor": "Google" }, signal }, resolve).on("error", reject);
  });
}

async function readShort(body: AsyncIterable<Buffer>): Promise<string> {
  let text = "";
  for await (const chunk of body) {
    text += chunk.toString("latin1");
    if (text.length > maxValueBytes) throw unavailable(`a value is longer than ${maxValueBytes} bytes`);
  }
  return text;
}

function parseZone(path: string): string {
  const [, zone] = /^projects\/[^/]+\/zones\/([a-z]+-[a-z]+[0-9]+-[a-z])$/.exec(path) ?? [];
  return zone ?? refuse("instance/zone", `${show(path)} is not a zone`);
}

function parseRegion(region: string): string {
  if (!/^[a-z]+-[a-z]+[0-9]+$/.test(region)) refuse("google-compute-default-region", `${show(region)} is not a region`);
  return region;
}

/** A project's id; those of before 2011 carry a domain ("example.com:project"). */
function parseProject(project: string): string {
  if (!/^([a-z0-9.-]+:)?[a-z][-a-z0-9]{4,28}[a-z0-9]$/.test(project)) {
    refuse("project/project-id", `${show(project)} is not a project's id`);
  }
  return project;
}

function unavailable(message: string, cause?: unknown): KhwError {
  return new KhwError("METADATA_UNAVAILABLE", `metadata server: ${message}`, {
    hint: "outside Compute Engine set the identity in the agent's configuration",
    cause,
  });
}
