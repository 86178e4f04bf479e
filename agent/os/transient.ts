import { randomBytes } from "node:crypto";
import { KhwError } from "../../proto/errors.ts";
import type { Systemd } from "./systemd.ts";
import { plainLanguage, run, type Ended } from "./run.ts";

export interface TransientOptions {
  readonly systemd: Pick<Systemd, "stop">;
  /** The middle part of the unit's name, khw-PURPOSE-XXXXXXXX. */
  readonly purpose: string;
  readonly environment?: Readonly<Record<string, string>>;
  /** The unit's settings, for example "DynamicUser=yes". */
  readonly properties?: readonly string[];
  readonly signal: AbortSignal;
  /** See RunOptions. */
  readonly keep?: number;
  readonly onLine?: (line: string) => void;
}

const stopMillis = 60_000;

/** Returns the arguments that set a unit's environment. The environment makes all programs print English. */
function setEnvironment(environment: Readonly<Record<string, string>>): string[] {
  return Object.entries({ ...plainLanguage, ...environment }).map(([name, value]) => `--setenv=${name}=${value}`);
}

function setProperties(properties: readonly string[]): string[] {
  return properties.map((property) => `--property=${property}`);
}

export interface StartTransientOptions extends Required<Pick<TransientOptions, "environment" | "properties">> {
  /** The unit's full name. systemd rejects the name if a unit with that name is loaded. */
  readonly unit: string;
  readonly signal: AbortSignal;
}

/**
 * Starts a program in a transient oneshot unit, and returns when systemd has queued the start. The unit does not depend
 * on the agent's process. It keeps running when the agent exits, and its output goes to the journal. After a failure,
 * the unit stays loaded.
 * @throws KhwError SERVICE_FAILED if systemd rejects the unit
 */
export async function startTransient(argv: readonly string[], options: StartTransientOptions): Promise<void> {
  const { unit, environment, properties, signal } = options;
  const settings = [...setProperties(properties), ...setEnvironment(environment)];
  const start = ["--quiet", "--no-block", "--service-type=oneshot", `--unit=${unit}`, ...settings];
  const { code, lines } = await run(["systemd-run", ...start, "--", ...argv], { signal });
  if (code !== 0) throw new KhwError("SERVICE_FAILED", `systemd-run ${unit}: ${lines.slice(-5).join(" | ")}`);
}

/**
 * Runs a program in a transient unit, which is outside the agent's sandbox and survives a restart of the agent. Stops
 * the unit and throws the signal's reason if the signal aborts.
 */
export async function runTransient(argv: readonly string[], options: TransientOptions): Promise<Ended> {
  const { systemd, purpose, environment = {}, properties = [], signal, keep, onLine } = options;
  const unit = `khw-${purpose}-${randomBytes(4).toString("hex")}.service`;
  const settings = [...setProperties(properties), ...setEnvironment(environment)];
  const start = ["--quiet", "--wait", "--collect", "--pipe", `--unit=${unit}`, ...settings];
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
    // The unit has stopped in the meantime, so systemd no longer knows it.
    if (!(error instanceof KhwError)) throw error;
  }
}
