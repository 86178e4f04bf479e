import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { coalesce } from "./os/coalesce.ts";

/** What systemd is told of the agent; does nothing where systemd did not start it. */
export interface Notifier {
  readonly ready: () => Promise<void>;
  /** One line, shown by `systemctl status`. */
  readonly status: (text: string) => void;
  readonly stopping: () => Promise<void>;
}

const run = promisify(execFile);

export interface NotifierOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly log: (line: string) => void;
  /** Why the agent is of no use although its event loop turns: for as long as there is such a reason, no keep-alive is sent. */
  readonly stuck?: () => string | undefined;
  /** Ends the keep-alive. */
  readonly signal: AbortSignal;
}

/**
 * Speaks to systemd by its own program, systemd-notify (docs/decisions/sd-notify.md). The watchdog's keep-alive hangs on the
 * event loop and on the reconciler: when either no longer gets anywhere it is no longer sent, and systemd starts the agent anew.
 */
export function createNotifier({ env, log, stuck = () => undefined, signal }: NotifierOptions): Notifier {
  const { NOTIFY_SOCKET: socket, WATCHDOG_USEC: watchdog } = env;
  if (socket === undefined) return { ready: async () => {}, status: () => {}, stopping: async () => {} };

  const send = async (...assignments: string[]): Promise<void> => {
    try {
      await run("systemd-notify", assignments, {
        env: { PATH: "/usr/bin:/bin", NOTIFY_SOCKET: socket },
        timeout: 10_000,
      });
    } catch (error) {
      log(`systemd-notify ${assignments.join(" ")}: ${error instanceof Error ? error.message : String(error)}`);
    }
  };
  // One at a time, and of those that wait only the newest: so a burst starts no crowd of processes, and the last word stays.
  let newest = "";
  const sendStatus = coalesce(() => send(`--status=${newest}`));
  if (watchdog !== undefined) {
    // Ready along with it: systemd before 246 can miss a message whose sender has already ended.
    const beat = keepAlive({ stuck, log, send: () => void send("READY=1", "WATCHDOG=1") });
    const timer = setInterval(beat, Number(watchdog) / 1000 / 3);
    timer.unref();
    signal.addEventListener("abort", () => clearInterval(timer), { once: true });
  }
  return {
    // With the last word told of it: what is shown from now on is true from the first moment.
    ready: () => send("--ready", `--status=${newest}`),
    status: (text) => {
      newest = text;
      void sendStatus();
    },
    stopping: () => send("STOPPING=1", "--status=stopping"),
  };
}

export interface KeepAliveOptions {
  readonly stuck: () => string | undefined;
  readonly send: () => void;
  readonly log: (line: string) => void;
}

/** One beat of the keep-alive: sends, or says once why it does not. */
export function keepAlive({ stuck, send, log }: KeepAliveOptions): () => void {
  let said: string | undefined;
  return () => {
    const reason = stuck();
    if (reason === undefined) send();
    else if (reason !== said) log(`no longer tells the watchdog that all is well: ${reason}`);
    said = reason;
  };
}
