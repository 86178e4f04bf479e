import type { AgentServiceServer, LogEntry, StreamLogsRequest } from "../../proto/gen/khw/agent/v1/agent.ts";
import { refuse, show } from "../../proto/validate.ts";
import { healthChecks } from "../health/health.ts";
import { accept, send, streaming } from "./calls.ts";
import type { HandlerOptions } from "./handler-options.ts";

const units: ReadonlyMap<string, string> = new Map([
  ...healthChecks.map(({ component, unit }) => [component, unit] as const),
  ["khw-agent", "khw-agent.service"],
]);

const defaultLines = 100;

/** Streams journal lines as fast as the caller reads them. */
export function logHandlers(options: HandlerOptions): Pick<AgentServiceServer, "streamLogs"> {
  return {
    streamLogs: streaming<StreamLogsRequest, LogEntry>(options, async (call, gone) => {
      const { component, lines, sinceUnixMillis, follow } = call.request;
      const unit = units.get(component);
      if (unit === undefined) {
        refuse(
          "component",
          `${show(component)} has no journal on this node`,
          `use one of ${[...units.keys()].join(", ")}`,
        );
      }
      const { os } = await options.node();
      if (follow) accept(call);
      const wanted = { unit, lines: lines || (sinceUnixMillis === 0 ? defaultLines : 0), sinceUnixMillis, follow };
      for await (const entry of os.logs.stream(wanted, gone)) await send(call, entry, gone);
    }),
  };
}
