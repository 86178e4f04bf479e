import type {
  AgentServiceServer,
  GetStatusResponse,
  WatchStatusRequest,
  WatchStatusResponse,
} from "../../proto/gen/khw/agent/v1/agent.ts";
import { memberBegun } from "../preflight/etcd-conflict.ts";
import type { Node } from "../node.ts";
import { coalesce } from "../os/coalesce.ts";
import { streaming, unary } from "./calls.ts";
import type { HandlerOptions } from "./handler-options.ts";
import { createMachineFigures } from "./machine-figures.ts";
import { sendChanges } from "./watch.ts";

/** Who the agent is, and how it stands with the machine: once, or as it changes. */
export function statusHandlers(
  options: HandlerOptions,
): Pick<AgentServiceServer, "getInfo" | "getStatus" | "watchStatus"> {
  const { node, agentVersion, log, signal } = options;
  const figures = createMachineFigures({ log, signal });

  /** The newest of the board, where the components and the machine have just been looked at. */
  const fullStatus = ({ os, board }: Node): GetStatusResponse => {
    const { components, certificates, ...rest } = board.read();
    return {
      agentVersion,
      identity: os.identity,
      ...rest,
      components: [...components],
      certificates: [...certificates],
    };
  };
  const look = coalesce(async () => {
    const { os, board, supervisor } = await node();
    // In turn: after a failure no read may stay behind that nobody waits for, however often the caller asks again.
    const machine = await os.machine.read();
    await supervisor.read();
    board.post({ machine });
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
        etcdBegun: await memberBegun(os.files),
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
      // Nothing may be waited for between the full state and the listening: no change is lost, and none told twice.
      await sendChanges(fullStatus(open), { board: open.board, call, gone });
    }),
  };
}
