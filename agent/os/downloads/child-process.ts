import { type ChildProcess, fork } from "node:child_process";
import { extname } from "node:path";
import { fromDetail, KhwError } from "../../../proto/errors.ts";
import type { DownloadedText, Downloads } from "../downloads.ts";
import type { Order, Report, Work } from "./messages.ts";

/**
 * How long the child process stays alive after its last download. This is longer than the pause between downloading a
 * digest and downloading the file itself.
 */
const lingerMillis = 1_000;

/** The program is in the same folder as this module, both in the sources and in the bundle. */
const program = new URL(`downloader${extname(import.meta.filename)}`, import.meta.url);

/**
 * Runs the downloads in a child process, which starts with the first download and exits one second after the last. A
 * download needs about 30 MB of memory (undici, the system's certificates, buffers), which the agent would otherwise
 * keep allocated between upgrades.
 */
export function createChildProcessDownloads(): Downloads {
  let downloader: Downloader | undefined;
  const ask: Downloader["ask"] = (work, options) => {
    if (downloader?.connected() !== true) downloader = startDownloader();
    return downloader.ask(work, options);
  };
  return {
    text: async ({ signal, ...work }) => {
      const found = await ask(work, { signal });
      if (found === undefined) throw new TypeError("expected text from the downloader, got a file");
      return found;
    },
    file: async ({ to, sha256, mostBytes, signal, progress, ...source }) => {
      await ask({ ...source, file: { to, sha256, mostBytes } }, { signal, progress });
    },
  };
}

interface AskOptions {
  readonly signal: AbortSignal;
  readonly progress?: (text: string) => void;
}

interface Downloader {
  connected(): boolean;
  /**
   * Returns the downloaded text; undefined for a file. After an abort, rejects once the partial file has been removed.
   */
  ask(work: Work, options: AskOptions): Promise<DownloadedText | undefined>;
}

interface Pending extends AskOptions {
  readonly resolve: (found: DownloadedText | undefined) => void;
  readonly reject: (reason: unknown) => void;
}

function startDownloader(): Downloader {
  // Does not inherit the agent's V8 flags. They save memory, but with them, a download takes a quarter more processor
  // time.
  const child = fork(program, { execArgv: [], stdio: ["ignore", "inherit", "inherit", "ipc"] });
  const pending = new Map<number, Pending>();
  let last = 0;
  let linger: NodeJS.Timeout | undefined;

  child.on("message", (report: Report) => {
    const asked = pending.get(report.id);
    switch (report.kind) {
      case "progress":
        return asked?.progress?.(report.text);
      case "done":
        return asked?.resolve(report.found);
      case "failed":
        return asked?.reject(asked.signal.aborted ? asked.signal.reason : fromDetail(report.error));
    }
  });
  const fail = (why: string, cause?: Error): void => {
    for (const { reject } of pending.values()) reject(ended(why, cause));
  };
  child.once("error", (error) => fail(error.message, error));
  child.once("exit", (code, by) => fail(by === null ? `exit status ${code}` : by));

  return {
    connected: () => child.connected && child.exitCode === null && child.signalCode === null,
    ask: async (work, options) => {
      const { signal } = options;
      signal.throwIfAborted();
      clearTimeout(linger);
      const id = ++last;
      const abort = (): void => sendOrder(child, { kind: "abort", id });
      signal.addEventListener("abort", abort, { once: true });
      try {
        return await new Promise<DownloadedText | undefined>((resolve, reject) => {
          pending.set(id, { ...options, resolve, reject });
          sendOrder(child, { kind: "start", id, work });
        });
      } finally {
        signal.removeEventListener("abort", abort);
        pending.delete(id);
        if (pending.size === 0) linger = setTimeout(() => child.connected && child.disconnect(), lingerMillis);
      }
    },
  };
}

function sendOrder(child: ChildProcess, order: Order): void {
  // If the child process has exited, its exit event makes the download fail.
  if (child.connected) child.send(order, () => {});
}

function ended(why: string, cause: Error | undefined): KhwError {
  return new KhwError("DOWNLOAD_FAILED", `the download process exited: ${why}`, {
    hint: "see `journalctl --unit=khw-agent` on the node, then run the command again",
    cause,
  });
}
