import { execFile } from "node:child_process";
import { setTimeout } from "node:timers/promises";
import { promisify } from "node:util";
import { coalesce } from "./os/coalesce.ts";

/** Reports the agent's state to systemd. Does nothing if systemd did not start the agent. */
export interface Notifier {
  readonly ready: () => Promise<void>;
  /** Sets the status line that `systemctl status` shows. */
  readonly status: (text: string) => void;
  readonly stopping: () => Promise<void>;
}

const run = promisify(execFile);

const statusMillis = 1_000;

export interface NotifierOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly log: (line: string) => void;
  /**
   * Returns why the agent is stuck although its event loop is running; undefined if it is not stuck. A stuck agent
   * sends no keep-alives.
   */
  readonly stuck?: () => string | undefined;
  /** Ends the keep-alive. */
  readonly signal: AbortSignal;
}

/**
 * Notifies systemd with the program systemd-notify (docs/decisions/sd-notify.md). The watchdog's keep-alive depends on
 * the event loop and on the reconciler. If either is stuck, the keep-alives stop, and systemd restarts the agent.
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
  // Sends at most one status a second, and always the newest. While a machine becomes a controller, the status changes
  // many times a second, and each message costs a process.
  let newest = "";
  let ended = false;
  const sendStatus = coalesce(async () => {
    if (ended) return;
    await send(`--status=${newest}`);
    await setTimeout(statusMillis, undefined, { ref: false });
  });
  if (watchdog !== undefined) {
    // Repeats READY because systemd before version 246 can miss a message whose sender has already exited.
    const beat = keepAlive({ stuck, log, send: () => void send("READY=1", "WATCHDOG=1") });
    const timer = setInterval(beat, Number(watchdog) / 1000 / 3);
    timer.unref();
    signal.addEventListener("abort", () => clearInterval(timer), { once: true });
  }
  return {
    // Sends READY together with the newest status, so that systemd shows the correct status from the start.
    ready: () => send("--ready", `--status=${newest}`),
    status: (text) => {
      newest = text;
      void sendStatus();
    },
    stopping: () => {
      ended = true;
      return send("STOPPING=1", "--status=stopping");
    },
  };
}

export interface KeepAliveOptions {
  readonly stuck: () => string | undefined;
  readonly send: () => void;
  readonly log: (line: string) => void;
}

/**
 * Returns a function that sends a keep-alive. If the agent is stuck, the function sends nothing, and logs the reason
 * once.
 */
export function keepAlive({ stuck, send, log }: KeepAliveOptions): () => void {
  let said: string | undefined;
  return () => {
    const reason = stuck();
    if (reason === undefined) send();
    else if (reason !== said) log(`withholding the watchdog's keep-alive: ${reason}`);
    said = reason;
  };
}
