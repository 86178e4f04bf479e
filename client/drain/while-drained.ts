import { KhwError, toKhwError } from "../../proto/errors.ts";
import { DrainReason } from "../../proto/gen/khw/agent/v1/agent.ts";
import { waitFor } from "../../proto/wait-for.ts";
import type { AgentNode } from "../cluster/agent-client.ts";
import { isLeft } from "../../proto/drain.ts";
import { isRolledBack } from "../../proto/rollback.ts";
import { enter, leave, type DrainNodeOptions } from "./drain.ts";
import { isDrained, isHealthy, serves, type ServingState } from "./serving-state.ts";

export interface DrainedOptions extends Omit<DrainNodeOptions, "reason"> {
  readonly node: AgentNode;
  /** The current state of all controllers. */
  readonly standings: readonly ServingState[];
  /** Whether the node is already running an operation and therefore cannot be drained now. Default: false. */
  readonly underWay?: boolean;
}

const reason = DrainReason.DRAIN_REASON_ROLLING_UPDATE;

/** How long to wait for the agent's next probe. The agent probes its components every few seconds. */
const lookMillis = 15_000;

/** Ctrl-C does not stop work that has started. Only the work's own deadline stops it. */
const never = new AbortController().signal;

/**
 * Drains the node, does the work, and undrains the node. Does not drain a node that receives no requests, was drained
 * by a person, or is the only serving node. A node that an earlier rolling update left drained is also undrained.
 *
 * If the work fails and the API server is not healthy, the node stays drained, and the error says so. If the user
 * presses Ctrl-C before the work starts, the node is undrained at once.
 * @throws KhwError the error that the work threw; TIMEOUT if the health check does not show the new state in time
 */
export async function whileDrained(work: () => Promise<void>, options: DrainedOptions): Promise<void> {
  const { node, standings, signal, underWay = false } = options;
  const own = standings.find(({ name }) => name === node.address.name);
  const left = isLeft(own?.status?.maintenance);
  if (!left && (underWay || !mayLeave(standings, node.address.name, options))) return work();
  if (!underWay) {
    try {
      await leave(node, { ...options, reason });
      signal.throwIfAborted();
    } catch (thrown) {
      throw await backIn(node, toKhwError(thrown));
    }
  }
  try {
    await work();
  } catch (thrown) {
    const error = toKhwError(thrown);
    throw (await isWell(node)) ? await serveAgain(node, error, options) : staysOut(node, error);
  }
  try {
    await enter(node, { ...options, reason });
  } catch (thrown) {
    if (!signal.aborted) throw thrown;
    // The work is done; only the wait was interrupted.
    await node.setMaintenance({ drained: false, reason }, never).catch((error: unknown) => {
      throw staysOut(node, toKhwError(error));
    });
  }
}

/** Whether the node can be drained: both this node and another node are serving. */
function mayLeave(standings: readonly ServingState[], name: string, { cloud }: DrainedOptions): boolean {
  const own = standings.find((standing) => standing.name === name);
  if (cloud === undefined || own === undefined || isDrained(own) || own.backend !== "HEALTHY") return false;
  return standings.some((standing) => standing !== own && serves(standing));
}

/** Whether the API server is healthy. After a rollback, waits for the agent's next probe of the API server. */
async function isWell(node: AgentNode): Promise<boolean> {
  try {
    return await waitFor<boolean>({
      what: "the API server is not healthy after the rollback",
      check: async () => {
        const status = await node.status(never);
        if (isHealthy({ name: node.address.name, status }, "kube-apiserver")) return { reached: true };
        return isRolledBack(status.operation) ? { seen: "its API server is not healthy" } : { reached: false };
      },
      deadlineMillis: lookMillis,
      intervalMillis: 500,
      signal: never,
    });
  } catch {
    return false;
  }
}

/** Undrains the node, waits until the node serves traffic, and returns the work's error. */
async function serveAgain(node: AgentNode, error: KhwError, options: DrainedOptions): Promise<KhwError> {
  try {
    await enter(node, { ...options, reason });
    return error;
  } catch {
    return backIn(node, error);
  }
}

/**
 * Undrains the node and returns the error that interrupted the work. If undraining fails, the error also says how to
 * undrain the node.
 */
async function backIn(node: AgentNode, error: KhwError): Promise<KhwError> {
  try {
    await node.setMaintenance({ drained: false, reason }, never);
    return error;
  } catch {
    // A busy agent may already have refused the drain.
    const status = await node.status(never).catch(() => undefined);
    return status?.maintenance?.drained === false ? error : staysOut(node, error);
  }
}

function staysOut({ address: { name } }: AgentNode, error: KhwError): KhwError {
  const { code, message, hint, step, cause } = error;
  const rest = `the node stays drained; once its API server is healthy, run \`khw-client undrain ${name}\``;
  return new KhwError(code, message, {
    node: name,
    step,
    hint: hint === undefined ? rest : `${hint}; ${rest}`,
    cause,
  });
}
