import type { Diagnosis } from "../../proto/gen/khw/agent/v1/agent.ts";
import type { HealthCheck } from "../health/health.ts";
import type { Os } from "../os/os.ts";
import { degradedCauses } from "./degraded.ts";
import { askEtcd, readEtcdCertificate } from "./etcd-facts.ts";
import { readFlags } from "./flags.ts";
import { blamesKms, readKms } from "./kms-facts.ts";
import { known } from "./match.ts";

/** A process that is waiting for the API server or etcd repeats its message within this time. */
const recentMillis = 12_000;
const recentLines = 200;
const deadlineMillis = 10_000;

export interface Running {
  readonly pid: number;
  /** Why the component's health check failed; null if the component is healthy. */
  readonly reason: string | null;
}

/**
 * Determines why a running component fails its health check. Reads the component's journal lines of the last few
 * seconds. Returns undefined if no known cause matches.
 * @throws KhwError IO_FAILED if its journal cannot be read
 */
export async function diagnoseRunning(
  { component, unit }: HealthCheck,
  { pid, reason }: Running,
  os: Os,
): Promise<Diagnosis | undefined> {
  const signal = AbortSignal.timeout(deadlineMillis);
  const request = { unit, lines: recentLines, sinceUnixMillis: os.clock.now() - recentMillis, follow: false };
  const lines: string[] = [];
  for await (const entry of os.logs.stream(request, signal)) if (entry.pid === pid) lines.push(entry.text);
  if (reason !== null) lines.push(reason);
  const flags = await readFlags(unit, os);
  const etcd = component === "kube-apiserver" && /\betcd\b/.test(reason ?? "");
  const [etcdCertificate, answers, kms] = await Promise.all([
    etcd ? readEtcdCertificate(flags, os) : undefined,
    etcd ? askEtcd(flags, os) : undefined,
    blamesKms.test(reason ?? "") ? readKms(flags, os) : undefined,
  ]);
  return known({ component, unit, flags, starts: [lines], etcdCertificate, etcd: answers, kms }, degradedCauses);
}
