import { execFile } from "node:child_process";
import { setTimeout } from "node:timers/promises";
import { promisify } from "node:util";
import { coalesce } from "./os/coalesce.ts";

/** Reports the agent's state to systemd. Does nothing if systemd did not start the agent. */
export interface Notifier {
  readonly ready: () => Promise<void>;
  /** Sets the status line that `systemctl status` shows, and sends it immediately. */
  readonly status: (text: string) => void;
  /**
   * Sets the same status line, but sends at most one line a second, and always the newest. While a machine becomes a
   * controller, its progress changes many times a second, and each message starts a process.
   */
  readonly progress: (text: string) => void;
  readonly stopping: () => Promise<void>;
}

const progressMillis = 1_000;

const execute = promisify(execFile);
const runProgram: NonNullable<NotifierOptions["run"]> = (args, env) =>
  execute("systemd-notify", args, { env, timeout: 10_000 });

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
  /** Runs systemd-notify with these arguments. */
  readonly run?: (args: readonly string[], env: Readonly<Record<string, string>>) => Promise<unknown>;
}

/**
 * Notifies systemd with the program systemd-notify (docs/decisions/sd-notify.md). The watchdog's keep-alive depends on
 * the event loop and on the reconciler. If either is stuck, the keep-alives stop, and systemd restarts the agent.
 */
export function createNotifier(options: NotifierOptions): Notifier {
  const { env, log, stuck = () => undefined, signal, run = runProgram } = options;
  const { NOTIFY_SOCKET: socket, WATCHDOG_USEC: watchdog } = env;
  if (socket === undefined) {
    return { ready: async () => {}, status: () => {}, progress: () => {}, stopping: async () => {} };
  }

  const send = async (...assignments: string[]): Promise<void> => {
    try {
      await run(assignments, { PATH: "/usr/bin:/bin", NOTIFY_SOCKET: socket });
    } catch (error) {
      log(`systemd-notify ${assignments.join(" ")}: ${error instanceof Error ? error.message : String(error)}`);
    }
  };
  let newest = "";
  let ended = false;
  let pause = new AbortController();
  const sendNewest = coalesce(async () => {
    if (ended) return;
    pause = new AbortController();
    await send(`--status=${newest}`);
    await setTimeout(progressMillis, undefined, { ref: false, signal: pause.signal }).catch(() => {});
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
      pause.abort();
      void sendNewest();
    },
    progress: (text) => {
      newest = text;
      void sendNewest();
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
