import type {
  AgentServiceServer,
  AuditEntry,
  HistoryEvent,
  ListAuditEntriesRequest,
  ListEventsRequest,
} from "../../proto/gen/khw/agent/v1/agent.ts";
import type { History } from "../history/history.ts";
import { listen } from "../os/listen.ts";
import { accept, send, streaming } from "./calls.ts";
import type { HandlerOptions } from "./handler-options.ts";

/**
 * Streams the history and the audit log from disk, page by page. Even for a slow caller, the agent therefore holds only
 * one page in memory.
 */
export function eventHandlers(options: HandlerOptions): Pick<AgentServiceServer, "listEvents" | "listAuditEntries"> {
  return {
    listAuditEntries: streaming<ListAuditEntriesRequest, AuditEntry>(options, async (call, gone) => {
      for (const entry of await options.audit.list(call.request)) await send(call, entry, gone);
    }),
    listEvents: streaming<ListEventsRequest, HistoryEvent>(options, async (call, gone) => {
      const { sinceUnixMillis, limit, follow } = call.request;
      const { history } = await options.node();
      if (follow) accept(call);
      // Ids are consecutive, so the newest id and the limit determine the oldest requested event.
      let afterId = limit === 0 ? 0 : Math.max(0, history.newest() - limit);
      for (;;) {
        const newest = history.newest();
        const page = await history.list({ afterId, sinceUnixMillis });
        for (const event of page) await send(call, event, gone);
        // If the page is empty, all remaining events are too old or could not be written.
        afterId = page.at(-1)?.id ?? newest;
        if (page.length > 0) continue;
        if (!follow) return;
        await appended(history, { afterId, gone });
      }
    }),
  };
}

/** Resolves when there is an event whose id is higher than `afterId`. */
async function appended(
  history: History,
  { afterId, gone }: { readonly afterId: number; readonly gone: AbortSignal },
): Promise<void> {
  gone.throwIfAborted();
  using heard = listen<void>(gone, ({ resolve }) => [history.listen(() => resolve())]);
  if (history.newest() === afterId) await heard.outcome;
}
