import { KhwError, toKhwError } from "../../proto/errors.ts";
import type { AgentNode } from "../cluster/agent-client.ts";
import { enter, leave, type DrainNodeOptions } from "./drain.ts";
import { isDrained, isHealthy, serves, type ServingState } from "./serving-state.ts";

export interface DrainedOptions extends DrainNodeOptions {
  readonly node: AgentNode;
  /** The current state of all controllers. */
  readonly standings: readonly ServingState[];
}

/** Ctrl-C does not stop work that has begun; its own deadline does. */
const never = new AbortController().signal;

/**
 * Drains the node, does the work, and undrains it. A node is not drained if it gets no requests, was drained
 * before, or is the only one that serves.
 *
 * If the work fails and the API server is not healthy, the node stays drained, and the error says so. Ctrl-C before
 * the work undrains the node at once.
 * @throws KhwError the error of the work; TIMEOUT if the health check does not follow in time
 */
export async function whileDrained(work: () => Promise<void>, options: DrainedOptions): Promise<void> {
  const { node, standings, signal } = options;
  if (!mayLeave(standings, node.address.name, options)) return work();
  try {
    await leave(node, options);
    signal.throwIfAborted();
  } catch (thrown) {
    throw await backIn(node, toKhwError(thrown));
  }
  try {
    await work();
  } catch (thrown) {
    const error = toKhwError(thrown);
    throw (await isWell(node)) ? await backIn(node, error) : staysOut(node, error);
  }
  try {
    await enter(node, { ...options, signal });
  } catch (thrown) {
    if (!signal.aborted) throw thrown;
    // The work is done; only the wait was interrupted.
    await node.setMaintenance(false, never).catch((error: unknown) => {
      throw staysOut(node, toKhwError(error));
    });
  }
}

/** Whether the node can be drained: it serves, and so does another node. */
function mayLeave(standings: readonly ServingState[], name: string, { cloud }: DrainNodeOptions): boolean {
  const own = standings.find((standing) => standing.name === name);
  if (cloud === undefined || own === undefined || isDrained(own) || own.backend !== "HEALTHY") return false;
  return standings.some((standing) => standing !== own && serves(standing));
}

async function isWell(node: AgentNode): Promise<boolean> {
  try {
    return isHealthy({ name: node.address.name, status: await node.status(never) }, "kube-apiserver");
  } catch {
    return false;
  }
}

/**
 * Undrains the node and returns the error that interrupted the work. If undraining fails, the error says how to
 * undrain the node.
 */
async function backIn(node: AgentNode, error: KhwError): Promise<KhwError> {
  try {
    await node.setMaintenance(false, never);
    return error;
  } catch {
    // A busy agent may already have refused the drain.
    const status = await node.status(never).catch(() => undefined);
    return status?.maintenance?.drained === false ? error : staysOut(node, error);
  }
}

function staysOut({ address: { name } }: AgentNode, error: KhwError): KhwError {
  const { code, message, hint, step, cause } = error;
  const rest = `it stays drained: when its API server is healthy, run \`khw-client undrain ${name}\``;
  return new KhwError(code, message, {
    node: name,
    step,
    hint: hint === undefined ? rest : `${hint}; ${rest}`,
    cause,
  });
}
