import { dirname } from "node:path";
import { formatError, toKhwError } from "../../proto/errors.ts";
import { type Certificate, CertificateState } from "../../proto/gen/khw/agent/v1/agent.ts";
import type { StatusStore } from "../state/status-store.ts";
import { createCertificateReporter } from "./history.ts";
import { judgeCertificates, holdsCertificates, nextChange, unreadableFile } from "./certificates.ts";
import type { History } from "../history/history.ts";
import { coalesce } from "../os/coalesce.ts";
import type { Files } from "../os/files.ts";
import type { Os } from "../os/os.ts";
import { etcdFolder, kubernetesFolder } from "../paths.ts";

export interface CertificateWatchOptions {
  readonly os: Pick<Os, "files" | "clock">;
  readonly statusStore: StatusStore;
  readonly history: History;
  /** The paths of the agent's own certificate and of the management CA's certificate. */
  readonly own: readonly string[];
  readonly log: (line: string) => void;
  readonly signal: AbortSignal;
}

/**
 * How often the timer checks for expired certificates. The timer usually only compares times, without reading the
 * files.
 */
const lookMillis = 15_000;
const hourMillis = 3_600_000;
const dayMillis = 24 * hourMillis;

/**
 * Publishes the certificates of the cluster and of the agent in the status store. Reads them again every hour. Also
 * reads them again when a file changes, when a certificate expires or nears its expiry, or when the clock is set back.
 * The returned function triggers an immediate check.
 */
export function watchCertificates(options: CertificateWatchOptions): () => Promise<void> {
  const { os, statusStore, history, own, log, signal } = options;
  const { files, clock } = os;
  const tell = createCertificateReporter(history);
  let remindedAt = 0;
  let seen = "";
  let readAt = 0;
  let changesAt = 0;
  let enrolled = false;

  /** Whether the last result is still current, assuming that no file has changed since then. */
  const isCurrent = (now: number): boolean => now >= readAt && now < Math.min(changesAt, readAt + hourMillis);

  const look = coalesce(async () => {
    if (signal.aborted) return;
    // An agent that is waiting to be enrolled has no certificate yet, which is not a problem. The CA's certificate may
    // arrive first.
    const [certificate] = own;
    enrolled ||= certificate !== undefined && (await files.stat(certificate)) !== undefined;
    const paths = await present(files, enrolled ? own : []);
    const facts = await Promise.all(paths.map(async (path) => factsOf(files, path)));
    const now = clock.now();
    if (isCurrent(now) && facts.join("\n") === seen) return;
    const read = await Promise.all(paths.map(async (path) => readCertificateFile(os, path)));
    const certificates = read.flatMap((file) => file.certificates);
    // If a file could not be read, for example because the process had no free file descriptors, the next check
    // retries.
    const isComplete = read.every((file) => file.isRead);
    [seen, readAt, changesAt] = [facts.join("\n"), now, isComplete ? nextChange(certificates, now) : now];
    statusStore.publish({ certificates });
    await tell(certificates);
    const ending = certificates.filter(
      ({ path, state }) => own.includes(path) && state > CertificateState.CERTIFICATE_STATE_OK,
    );
    if (ending.length > 0 && clock.now() - remindedAt >= dayMillis) {
      remindedAt = clock.now();
      for (const { path, reason } of ending)
        log(`${path}: ${reason}; without a valid certificate, no caller can use this agent`);
    }
  });
  const lookAgain = (): void =>
    void look().catch((error: unknown) => log(`the certificates cannot be read: ${formatError(toKhwError(error))}`));

  const folders = [kubernetesFolder, etcdFolder, ...own.map((path) => dirname(path))];
  const stop = files.watch([...new Set(folders)], lookAgain);
  const timer = setInterval(() => {
    if (!isCurrent(clock.now())) lookAgain();
  }, lookMillis).unref();
  signal.addEventListener(
    "abort",
    () => {
      stop();
      clearInterval(timer);
    },
    { once: true },
  );
  lookAgain();
  return look;
}

async function present(files: Files, own: readonly string[]): Promise<string[]> {
  const found = await Promise.all(
    [kubernetesFolder, etcdFolder].map(async (folder) =>
      (await files.list(folder)).filter(holdsCertificates).map((name) => `${folder}/${name}`),
    ),
  );
  return [...found.flat().sort(), ...own];
}

async function factsOf(files: Files, path: string): Promise<string> {
  const facts = await files.stat(path);
  return facts === undefined ? path : [path, facts.device, facts.inode, facts.size, facts.changedAt].join(" ");
}

interface CertificateFile {
  readonly certificates: readonly Certificate[];
  /** False if a temporary problem kept the file from being read. */
  readonly isRead: boolean;
}

async function readCertificateFile(
  { files, clock }: Pick<Os, "files" | "clock">,
  path: string,
): Promise<CertificateFile> {
  try {
    const content = await files.read(path);
    if (content === undefined) return { certificates: [unreadableFile(path, "the file does not exist")], isRead: true };
    return { certificates: judgeCertificates(path, content.toString("latin1"), clock.now()), isRead: true };
  } catch (error) {
    return { certificates: [unreadableFile(path, toKhwError(error).message)], isRead: false };
  }
}
