import { ownController, type WithEtcd } from "../../proto/desired.ts";
import { KhwError } from "../../proto/errors.ts";
import { etcdPorts } from "../../proto/etcd.ts";
import { planSteps } from "../../proto/step.ts";
import type { Os } from "../os/os.ts";
import { etcdSteps } from "../steps/etcd.ts";
import { etcdDataFolder } from "../paths.ts";

/** etcd's own documentation requires the 99th percentile of wal_fsync_duration_seconds to be below this limit. */
const writeLimitMillis = 10;
const writeCount = 100;
/** etcd's --heartbeat-interval with the lab's flags; the interval should not be shorter than a round-trip. */
const heartbeatMillis = 100;
const trips = 5;
const tripMillis = 2_000;

/**
 * Measures whether this machine's disk, or its network to the other controllers, is too slow for etcd. Leaves no files.
 * Skips the disk test if an apply would not change the member here: the test takes seconds and delays the member's
 * writes.
 */
export async function checkLatency(desired: WithEtcd, os: Os, signal: AbortSignal): Promise<KhwError[]> {
  const own = ownController(desired).name;
  const others = desired.cluster.controllers.filter(({ name }) => name !== own);
  const found = [
    (await isSettled(desired, os, signal)) ? null : await slowDisk(os, signal),
    ...(await Promise.all(others.map((other) => slowNetwork(other, os, signal)))),
  ];
  return found
    .filter((finding) => finding !== null)
    .map((finding) => finding.at({ node: os.identity.name, step: "preflight" }));
}

/** Whether an Apply would change no part of etcd on this machine. */
async function isSettled(desired: WithEtcd, os: Os, signal: AbortSignal): Promise<boolean> {
  const planned = await planSteps(etcdSteps(desired), os, signal);
  return planned.every(({ drift, error }) => drift === null && error === null);
}

async function slowDisk({ probes }: Os, signal: AbortSignal): Promise<KhwError | null> {
  const times = await probes.writes(etcdDataFolder, { count: writeCount, signal });
  const worst = percentile(times, 0.99);
  if (worst <= writeLimitMillis) return null;
  return new KhwError(
    "PREFLIGHT_FAILED",
    `a small write to ${etcdDataFolder} takes ${worst.toFixed(1)} ms to reach the disk (99th percentile of ${times.length}), but etcd requires at most ${writeLimitMillis} ms`,
    { hint: "give the machine an SSD persistent disk: on a slower disk, etcd loses its leader under load" },
  );
}

async function slowNetwork(
  { name, internalIp }: { readonly name: string; readonly internalIp: string },
  { probes }: Os,
  signal: AbortSignal,
): Promise<KhwError | null> {
  const { peer: port } = etcdPorts;
  const times: number[] = [];
  for (let trip = 0; trip < trips; trip++) {
    const millis = await probes.roundTrip(internalIp, { port, timeoutMillis: tripMillis, signal });
    if (millis === undefined) {
      return new KhwError("PREFLIGHT_FAILED", `${name} does not answer at ${internalIp}:${port}`, {
        hint: `allow traffic between the controllers on ports ${etcdPorts.client} and ${port}, as the lab's firewall rule for internal traffic does`,
      });
    }
    times.push(millis);
  }
  const median = percentile(times, 0.5);
  if (median <= heartbeatMillis) return null;
  return new KhwError(
    "PREFLIGHT_FAILED",
    `${name} answers after ${median.toFixed(0)} ms (median of ${trips}), but etcd's heartbeat is ${heartbeatMillis} ms`,
    { hint: "put the controllers in one region" },
  );
}

/** Returns the smallest value that is at least as large as this share of the values. */
function percentile(values: readonly number[], part: number): number {
  return values.toSorted((a, b) => a - b)[Math.max(Math.ceil(values.length * part) - 1, 0)] ?? 0;
}
