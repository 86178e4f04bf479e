import type {
  AgentServiceServer,
  GetStatusResponse,
  WatchStatusRequest,
  WatchStatusResponse,
} from "../../proto/gen/khw/agent/v1/agent.ts";
import { memberStarted } from "../etcd/conflict.ts";
import type { Node } from "../node.ts";
import { coalesce } from "../os/coalesce.ts";
import { streaming, unary } from "./calls.ts";
import type { HandlerOptions } from "./handler-options.ts";
import { createMachineFigures } from "./machine-figures.ts";
import { sendChanges } from "./watch.ts";

/**
 * Handles the RPCs for the agent's identity and for the machine's state. Depending on the RPC, the state is sent once
 * or after every change.
 */
export function statusHandlers(
  options: HandlerOptions,
): Pick<AgentServiceServer, "getInfo" | "getStatus" | "watchStatus"> {
  const { node, agentVersion, log, signal } = options;
  const figures = createMachineFigures({ log, signal });

  /** Returns the contents of the status store. Must be called after the components and the machine have been read. */
  const fullStatus = ({ os, statusStore }: Node): GetStatusResponse => {
    const { components, certificates, ...rest } = statusStore.read();
    return {
      agentVersion,
      identity: os.identity,
      ...rest,
      components: [...components],
      certificates: [...certificates],
    };
  };
  const look = coalesce(async () => {
    const { os, statusStore, supervisor } = await node();
    // The reads run one after the other. If they ran in parallel, one read could continue in the background after the
    // other had failed.
    const machine = await os.machine.read();
    await supervisor.read();
    statusStore.publish({ machine });
  });

  return {
    getInfo: unary(options, async () => {
      const { os, operations } = await node();
      return {
        agentVersion,
        identity: os.identity,
        operation: operations.current(),
        architecture: os.architecture,
        clockUnixMillis: os.clock.now(),
        etcdBegun: await memberStarted(os.files),
      };
    }),
    getStatus: unary(options, async () => {
      const open = await node();
      await look();
      return fullStatus(open);
    }),
    watchStatus: streaming<WatchStatusRequest, WatchStatusResponse>(options, async (call, gone) => {
      const open = await node();
      await look();
      gone.throwIfAborted();
      using _ = figures.watch(open);
      // There must be no await between reading the full state and adding the listener. Otherwise, a change could be
      // missed.
      await sendChanges(fullStatus(open), { statusStore: open.statusStore, call, gone });
    }),
  };
}
