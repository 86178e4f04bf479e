import type { Ended } from "./run.ts";
import type { Systemd } from "./systemd.ts";
import { runTransient } from "./transient.ts";

/** Runs programs without any privileges: they can neither change the machine nor reach a network. */
export interface Trials {
  /** @param texts files that the program may read, by path below /tmp; the files are not in the machine's own /tmp */
  run(
    argv: readonly string[],
    options: { readonly texts?: Readonly<Record<string, string>>; readonly signal: AbortSignal },
  ): Promise<Ended>;
}

/** A program that only prints its version exits at once, even on a busy machine. */
const limitSeconds = 30;

/** DynamicUser implies a private /tmp, a read-only system, and no way to gain privileges. */
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

/** A program that refuses a flag first prints the error, and then hundreds of lines of usage. */
const mostLines = 5_000;

/** Writes pairs of path and text, up to an empty path, and runs the rest of its arguments. */
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
