import { randomBytes } from "node:crypto";
import { KhwError } from "../../proto/errors.ts";
import type { Systemd } from "./systemd.ts";
import { plainLanguage, run, type Ended } from "./run.ts";

export interface TransientOptions {
  readonly systemd: Pick<Systemd, "stop">;
  /** A part of the unit's name: khw-PURPOSE-XXXXXXXX. */
  readonly purpose: string;
  readonly environment?: Readonly<Record<string, string>>;
  /** Settings of the unit, for example "DynamicUser=yes". */
  readonly properties?: readonly string[];
  readonly signal: AbortSignal;
  /** See RunOptions. */
  readonly keep?: number;
  readonly onLine?: (line: string) => void;
}

const stopMillis = 60_000;

/**
 * Runs a program in a transient unit: outside the agent's sandbox, and not killed when the agent restarts. If the
 * signal aborts, stops the unit and throws the abort's reason.
 */
export async function runTransient(argv: readonly string[], options: TransientOptions): Promise<Ended> {
  const { systemd, purpose, environment = {}, properties = [], signal, keep, onLine } = options;
  const unit = `khw-${purpose}-${randomBytes(4).toString("hex")}.service`;
  const variables = Object.entries({ ...plainLanguage, ...environment }).map(
    ([name, value]) => `--setenv=${name}=${value}`,
  );
  const settings = properties.map((property) => `--property=${property}`);
  const start = ["--quiet", "--wait", "--collect", "--pipe", `--unit=${unit}`, ...settings, ...variables];
  try {
    return await run(["systemd-run", ...start, "--", ...argv], {
      signal,
      ...(keep !== undefined && { keep }),
      ...(onLine !== undefined && { onLine }),
    });
  } catch (error) {
    if (signal.aborted) await stop(systemd, unit);
    throw error;
  }
}

async function stop(systemd: Pick<Systemd, "stop">, unit: string): Promise<void> {
  try {
    await systemd.stop(unit, AbortSignal.timeout(stopMillis));
  } catch (error) {
    // The unit has ended in the meantime, and systemd no longer knows it.
    if (!(error instanceof KhwError)) throw error;
  }
}
