import { ownController, type WithEtcd } from "../../proto/desired.ts";
import { KhwError } from "../../proto/errors.ts";
import { etcdPorts } from "../../proto/etcd.ts";
import { planSteps } from "../../proto/step.ts";
import type { Os } from "../os/os.ts";
import { etcdSteps } from "../steps/etcd.ts";
import { etcdDataFolder } from "../paths.ts";

/** The etcd documentation recommends a 99th percentile of wal_fsync_duration_seconds below this limit. */
const writeLimitMillis = 10;
const writeCount = 100;
/**
 * The heartbeat interval of an etcd that runs with the lab's flags. It should be at least as long as a network round
 * trip.
 */
const heartbeatMillis = 100;
const trips = 5;
const tripMillis = 2_000;

/**
 * Checks whether this machine's disk, or the network to the other controllers, is too slow for etcd. Leaves no files
 * behind. The disk test takes several seconds and slows down etcd's writes. It is skipped if an Apply would not change
 * etcd on this machine.
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

/** Whether an Apply would leave etcd on this machine unchanged. */
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
    { hint: "move the machine to an SSD persistent disk, because etcd loses its leader under load on a slower disk" },
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
    `${name} takes ${median.toFixed(0)} ms to answer (median of ${trips}), but etcd's heartbeat interval is ${heartbeatMillis} ms`,
    { hint: "put the controllers in the same region" },
  );
}

/** Returns the smallest value that is at least as large as the given fraction of all values. */
function percentile(values: readonly number[], part: number): number {
  return values.toSorted((a, b) => a - b)[Math.max(Math.ceil(values.length * part) - 1, 0)] ?? 0;
}
