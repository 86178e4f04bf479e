import { HistoryKind } from "../../proto/gen/khw/agent/v1/agent.ts";
import type { History } from "../history/history.ts";

/** Reports in the journal and in the history that part of the agent's stored state cannot be read. */
export function reportDamage(
  message: string,
  { history, log }: { readonly history: Pick<History, "append">; readonly log: (line: string) => void },
): void {
  log(message);
  history.append({ kind: HistoryKind.HISTORY_KIND_AGENT, subject: "khw-agent", message, problem: true });
}
