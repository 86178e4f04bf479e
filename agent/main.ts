import { parseArgs } from "node:util";
import { exitCode, formatError, KhwError, toKhwError } from "../proto/errors.ts";
import { HistoryKind, type Identity } from "../proto/gen/khw/agent/v1/agent.ts";
import { openAudit } from "./audit/audit.ts";
import { type AgentConfig, loadConfig } from "./config.ts";
import { watchCertificates } from "./certificates/watch.ts";
import { checkIdentity } from "./certificates/identity-files.ts";
import { openEnrolmentEndpoint } from "./enrolment/endpoint.ts";
import { enrolmentSources } from "./enrolment/sources.ts";
import { createMetrics } from "./metrics/metrics.ts";
import { serveMetrics } from "./metrics/server.ts";
import { type Node, nodeOpener, openInTheEnd } from "./node.ts";
import { createNotifier } from "./notify.ts";
import { createFiles } from "./os/files.ts";
import { createLargeFiles } from "./os/large-files.ts";
import { createClock } from "./os/clock.ts";
import { createOs } from "./machine.ts";
import { readAccessToken } from "./os/service-account.ts";
import { createStorage, type Storage } from "./os/storage.ts";
import { guardPeerCertificates } from "../proto/peer-certificate.ts";
import { clearAfterReset } from "./reset/record.ts";
import { createRpcServer } from "./rpc/server.ts";
import { writeAll, writeError } from "../proto/output.ts";
import { paragraph } from "../proto/sanitize.ts";

/** The version from package.json. The build defines this constant. */
declare const KHW_VERSION: string;

/**
 * The time limit for the metadata server. Clients wait longer for their first response, so they still receive the
 * reason for a failure.
 */
const metadataMillis = 8_000;

const usage = `usage: khw-agent [--config FILE] [--check-config | --request | --accept | --version]

Runs on a Kubernetes controller and keeps it in the state that khw-client sets.

  --config FILE    the configuration (default /etc/khw-agent/config.yaml)
  --check-config   check the configuration and the identity, and exit
  --request        make the agent's next key if it is missing, print a signing request for it, and exit
  --accept         read the management CA's certificate and the agent's from standard input, and exit
  --version        print the version, and exit
`;

async function main(argv: readonly string[]): Promise<void> {
  const options = parseOptions(argv);
  if (options.help) return print(usage);
  if (options.version) return print(`khw-agent ${KHW_VERSION}\n`);
  const config = await loadConfig(options.config);
  if (options.request || options.accept) {
    const { acceptCertificate, newRequest } = await import("./enrolment/commands.ts");
    return options.request ? print(await newRequest(config)) : acceptCertificate(config);
  }
  if (options["check-config"]) {
    await checkIdentity(config.identity);
    return print(`${options.config}: ok\n`);
  }
  await serve(config);
}

function parseOptions(argv: readonly string[]) {
  try {
    return parseArgs({
      args: [...argv],
      options: {
        config: { type: "string", default: "/etc/khw-agent/config.yaml" },
        "check-config": { type: "boolean", default: false },
        request: { type: "boolean", default: false },
        accept: { type: "boolean", default: false },
        version: { type: "boolean", default: false },
        help: { type: "boolean", short: "h", default: false },
      },
    }).values;
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    throw new KhwError("INVALID_ARGUMENT", message, { hint: "run `khw-agent --help` to see the options", cause });
  }
}

/** Serves until SIGTERM or SIGINT. */
async function serve(config: AgentConfig): Promise<void> {
  guardPeerCertificates();
  const ending = new AbortController();
  const { signal } = ending;
  let known: Node | undefined;
  const stuck = (): string | undefined => known?.reconciler.stuck();
  const notifier = createNotifier({ env: process.env, log, stuck, signal });
  const { promise: ended, resolve: end } = Promise.withResolvers<string>();
  for (const name of ["SIGTERM", "SIGINT"] as const) process.once(name, end);

  await clearAfterReset({ files: createFiles(), largeFiles: createLargeFiles() }, config.stateFolder);
  let enrolled = false;
  const tellStatus = (): void => notifier.status(enrolled ? "serving" : "waiting to be enrolled; run khw-client enrol");
  const node = nodeOpener({
    identity: () => findIdentity(config, signal),
    open: (identity) => {
      log(`this is ${identity.name} at ${identity.internalIp}`);
      tellStatus();
      return createOs({ identity });
    },
    stateFolder: config.stateFolder,
    version: KHW_VERSION,
    supervision: config.supervision,
    storage: openStorage(config),
    status: notifier.progress,
    log,
    failed: (error) => {
      logError(error);
      notifier.progress("this machine's identity is unknown");
    },
    restart: end,
    signal,
  });
  const audit = await openAudit({ files: createFiles(), clock: createClock(), folder: config.stateFolder, log });
  const endpoint = await openEnrolmentEndpoint({
    ...config.listen,
    identity: config.identity,
    serve: (enrolment) => createRpcServer({ node, enrolment, agentVersion: KHW_VERSION, signal, log, audit }),
    name: async () => (await node()).os.identity.name,
    ...enrolmentSources(config, { log, signal }),
    changed: (now) => {
      enrolled = now;
      tellStatus();
    },
    log,
    audit,
    signal,
  });
  log(`khw-agent ${KHW_VERSION} is serving on port ${endpoint.port}`);
  await notifier.ready();
  // Opens the node now instead of on the first call. After a boot, the machine must be supervised even if no client
  // makes a call.
  openInTheEnd(node, { clock: createClock(), signal }).then(
    (open) => {
      known = open;
      return begin(open, { config, signal });
    },
    () => {},
  );

  log(`stopping: ${await ended}`);
  await notifier.stopping();
  ending.abort(new KhwError("INTERRUPTED", "the agent was stopped", { hint: "run the command again to converge" }));
  await node().then(
    ({ operations }) => operations.idle(),
    () => {},
  );
  known?.history.append({ ...agentEntry, message: "the agent was stopped" });
  await known?.history.settled();
  await endpoint.close();
  await audit.close();
}

const agentEntry = { kind: HistoryKind.HISTORY_KIND_AGENT, subject: "khw-agent" };

/** Records the agent's start in the history, watches the node's certificates, and serves the metrics. */
function begin(node: Node, { config, signal }: { readonly config: AgentConfig; readonly signal: AbortSignal }): void {
  const { os, statusStore, history } = node;
  const { identity, metricsPort } = config;
  history.append({ ...agentEntry, message: `khw-agent ${KHW_VERSION} started` });
  watchCertificates({ os, statusStore, history, own: [identity.certificate, identity.ca], log, signal });
  if (metricsPort === 0) return;
  const startSeconds = Math.round(Date.now() / 1000 - process.uptime());
  const residentBytes = (): number => process.memoryUsage.rss();
  const metrics = createMetrics({ node, version: KHW_VERSION, startSeconds, residentBytes, signal });
  void serveMetrics({ port: metricsPort, metrics, log, signal });
}

/** Returns the identity from the configuration or, if it contains none, from the metadata server. */
async function findIdentity({ machine, metadataUrl }: AgentConfig, signal: AbortSignal): Promise<Identity> {
  if (machine !== undefined) return { ...machine, zone: "", region: "", project: "" };
  const { readIdentity } = await import("./os/metadata.ts");
  return readIdentity({ baseUrl: metadataUrl, clock: createClock(), deadlineMillis: metadataMillis, signal });
}

/** Returns a Cloud Storage client that authenticates as the instance's service account. */
function openStorage({ storageUrl: baseUrl, metadataUrl }: AgentConfig): Storage {
  const clock = createClock();
  const token = (signal: AbortSignal): Promise<string> => readAccessToken({ baseUrl: metadataUrl, clock, signal });
  return createStorage({ baseUrl, largeFiles: createLargeFiles(), clock, token });
}

/** Writes the whole text to standard output; throws IO_FAILED if the write fails. */
function print(text: string): void {
  try {
    writeAll(process.stdout.fd, text);
  } catch (error) {
    throw error instanceof Error ? writeError("standard output", error) : error;
  }
}

/** Writes one journal entry. The text is sanitized because parts of it may come from other programs. */
function log(text: string): void {
  process.stderr.write(`${paragraph(text)}\n`);
}

/**
 * Logs the hint as a separate journal entry. A message stays one entry even if it has several lines, because some lines
 * may come from other programs.
 */
function logError({ code, message, hint, node, step }: KhwError): void {
  log(formatError(new KhwError(code, message, { node, step })));
  if (hint !== undefined) log(`hint: ${hint}`);
}

try {
  await main(process.argv.slice(2));
  process.exit(0);
} catch (thrown) {
  const error = toKhwError(thrown);
  logError(error);
  if (error.code === "INTERNAL" && error.stack !== undefined) log(error.stack);
  process.exit(exitCode(error));
}
