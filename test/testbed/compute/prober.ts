import { get } from "node:http";
import { setTimeout as delay } from "node:timers/promises";
import type { HttpHealthCheck } from "./resources.ts";

/** The prober's verdict on an instance. */
export interface Health {
  readonly state: "HEALTHY" | "UNHEALTHY";
  /** Why the last probe failed. */
  readonly reason?: string;
}

/** The options of a probe. */
export interface ProbeOptions {
  readonly address: string;
  readonly check: HttpHealthCheck;
  /** The number by which the check's interval is divided, so that tests wait less than with Google's prober. */
  readonly scale: number;
  /** The last known state of the instance before the check was changed. */
  readonly initial: Health["state"];
  /** Returns why the network currently blocks probes, or undefined if no probes are blocked. */
  readonly obstacle: () => string | undefined;
  /** Ends the probing. */
  readonly signal: AbortSignal;
}

/**
 * Probes as Google does, with one GET request per interval for the path and Host of the check. Only a 200 within the
 * timeout is a success. The state changes after as many consecutive successes or failures as the check specifies.
 * Yields the health after every probe.
 */
export async function* probe({
  address,
  check,
  scale,
  initial,
  obstacle,
  signal,
}: ProbeOptions): AsyncGenerator<Health> {
  let state = initial;
  let run = { succeeded: false, length: 0 };
  while (!signal.aborted) {
    const next = delay((check.checkIntervalSec * 1000) / scale, undefined, { ref: false });
    const reason = obstacle() ?? (await probeOnce(address, check, signal));
    const succeeded = reason === undefined;
    run = { succeeded, length: succeeded === run.succeeded ? run.length + 1 : 1 };
    if (run.length >= (succeeded ? check.healthyThreshold : check.unhealthyThreshold))
      state = succeeded ? "HEALTHY" : "UNHEALTHY";
    yield { state, ...(reason !== undefined && { reason }) };
    await next;
  }
}

/** Returns why a probe failed, or undefined if it succeeded. */
async function probeOnce(address: string, check: HttpHealthCheck, stop: AbortSignal): Promise<string | undefined> {
  const { port, requestPath: path, host, timeoutSec } = check;
  const signal = AbortSignal.any([stop, AbortSignal.timeout(timeoutSec * 1000)]);
  // In Google's health checks, the Host header defaults to the probed address.
  const headers = { host: host === undefined || host === "" ? address : host, "user-agent": "GoogleHC/1.0" };
  return new Promise((resolve) => {
    const request = get({ host: address, port, path, headers, agent: false, signal }, (response) => {
      response.resume();
      response.once("end", () => resolve(response.statusCode === 200 ? undefined : `status ${response.statusCode}`));
      response.once("error", (error) => resolve(error.message));
    });
    request.once("error", (error) => resolve(error.message));
  });
}
