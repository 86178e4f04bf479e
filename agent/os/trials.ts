import type { Ended } from "./run.ts";
import type { Systemd } from "./systemd.ts";
import { runTransient } from "./transient.ts";

/** Runs programs without any privileges, so that they can neither change the machine nor reach a network. */
export interface Trials {
  /**
   * @param texts the contents of files that the program may read, keyed by path below /tmp; the program has a private
   * /tmp
   */
  run(
    argv: readonly string[],
    options: { readonly texts?: Readonly<Record<string, string>>; readonly signal: AbortSignal },
  ): Promise<Ended>;
}

/** The time limit for a run. Trial programs usually exit at once, even on a busy machine. */
const limitSeconds = 30;

/**
 * The unit's restrictions. DynamicUser implies a private /tmp, a read-only file system, and no way to gain privileges.
 */
const withoutRights = [
  "DynamicUser=yes",
  "PrivateNetwork=yes",
  "PrivateDevices=yes",
  "ProtectHome=yes",
  "ProtectKernelModules=yes",
  "CapabilityBoundingSet=",
  "InaccessiblePaths=-/var/lib/kubernetes -/var/lib/etcd -/etc/etcd -/etc/khw-agent -/var/lib/khw-agent",
  `RuntimeMaxSec=${limitSeconds}`,
  "LimitCORE=0",
];

/**
 * The number of output lines to keep. A program that rejects a flag prints the error first, and then hundreds of lines
 * of usage.
 */
const mostLines = 5_000;

/**
 * Reads pairs of a path and a text, up to an empty path. Writes each text to its path. Then runs the remaining
 * arguments as a command.
 */
const script = 'while [ -n "$1" ]; do printf %s "$2" >"$1"; shift 2; done; shift; exec "$@"';

export function createTrials(systemd: Pick<Systemd, "stop">): Trials {
  return {
    run: (argv, { texts = {}, signal }) =>
      runTransient(["/bin/sh", "-c", script, "sh", ...Object.entries(texts).flat(), "", ...argv], {
        systemd,
        purpose: "trial",
        properties: withoutRights,
        keep: mostLines,
        signal,
      }),
  };
}
