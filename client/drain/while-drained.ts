import { KhwError, toKhwError } from "../../proto/errors.ts";
import type { AgentNode } from "../cluster/agent-client.ts";
import { enter, leave, type RotationOptions } from "./drain.ts";
import { isDrained, isHealthy, serves, type Standing } from "./serving-state.ts";

export interface DrainedOptions extends RotationOptions {
  readonly node: AgentNode;
  /** All controllers, as they were just now. */
  readonly standings: readonly Standing[];
}

/** What ends a piece of work that was begun is its own deadline, not Ctrl-C. */
const never = new AbortController().signal;

/**
 * Does the work with the node out of the load balancer's rotation, and takes it back in. A node that nothing is sent to, that was
 * drained before, or that is the only one to serve is worked on as it is, and left as it was.
 *
 * When the work fails and the API server is not well, the node stays out, and the error says so. Ctrl-C before the work takes
 * the node back in at once.
 * @throws KhwError what the work throws; TIMEOUT when the health check does not agree in time
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
    // The work is done; only the waiting was cut short.
    await node.setMaintenance(false, never).catch((error: unknown) => {
      throw staysOut(node, toKhwError(error));
    });
  }
}

/** A node goes where it is in rotation and not the only one. */
function mayLeave(standings: readonly Standing[], name: string, { cloud }: RotationOptions): boolean {
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

/** The error that cut the work short, once the node is back in; else with what is left to do. */
async function backIn(node: AgentNode, error: KhwError): Promise<KhwError> {
  try {
    await node.setMaintenance(false, never);
    return error;
  } catch {
    // An agent that is busy may have refused to drain it in the first place.
    const status = await node.status(never).catch(() => undefined);
    return status?.maintenance?.drained === false ? error : staysOut(node, error);
  }
}

function staysOut({ address: { name } }: AgentNode, error: KhwError): KhwError {
  const { code, message, hint, step, cause } = error;
  const rest = `it stays drained: when its API server is well, \`khw-client undrain ${name}\` takes it back in`;
  return new KhwError(code, message, {
    node: name,
    step,
    hint: hint === undefined ? rest : `${hint}; ${rest}`,
    cause,
  });
}
