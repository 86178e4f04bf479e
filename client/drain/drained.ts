import { isLeft } from "../../proto/drain.ts";
import { KhwError } from "../../proto/errors.ts";
import type { Maintenance } from "../../proto/gen/khw/agent/v1/agent.ts";
import type { AgentNode } from "../cluster/agent-client.ts";
import { instant } from "../terminal/time.ts";

/** Returns text such as "drained by alice at 2026-11-28 11:04:54". */
export function describeDrained(maintenance: Maintenance): string {
  const why = isLeft(maintenance) ? " for a rolling update" : "";
  return `drained by ${maintenance.holder || "somebody"}${why} at ${instant(maintenance.sinceUnixMillis)}`;
}

/** Returns a note that the node stays drained. The note includes the command to undrain the node. */
export function drainedNote(name: string, maintenance: Maintenance): string {
  return `${name} is ${describeDrained(maintenance)}, and stays drained; run khw-client undrain ${name} to undrain it`;
}

export function staysDrained(name: string, maintenance: Maintenance): KhwError {
  return new KhwError("DRAINED", `the node is ${describeDrained(maintenance)}`, {
    node: name,
    hint: `run khw-client undrain ${name}`,
  });
}

/**
 * Stops waiting if the node is drained, because the load balancer cannot report a drained node as HEALTHY.
 * @throws KhwError DRAINED
 */
export async function refuseDrained(node: AgentNode, signal: AbortSignal): Promise<void> {
  const { maintenance } = await node.status(signal);
  if (maintenance?.drained === true) throw staysDrained(node.address.name, maintenance);
}
