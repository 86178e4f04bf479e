import { formatError, toKhwError } from "../../proto/errors.ts";
import { pause } from "../../proto/wait-for.ts";
import { type ApproveContext, approvePending } from "./approve.ts";
import type { RequestResult } from "./report.ts";

const intervalMillis = 2_000;

export interface WatchOptions {
  /** The nodes whose requests are decided. If empty, the requests of all nodes are decided. */
  readonly nodes: readonly string[];
  /** Formats a result as text. The text is reported only if it has changed. */
  readonly format: (result: RequestResult) => string;
  readonly write: (text: string) => void;
  readonly warn: (text: string) => void;
}

/**
 * Decides requests as they arrive. Reports a request again only if its result changes. If an API cannot be reached,
 * tries again. Returns true as soon as each named node has an approved request with a valid certificate; false after
 * Ctrl-C. A request that was approved before the watch does not count.
 * @throws KhwError any other error
 */
export async function watchRequests(
  context: ApproveContext,
  { nodes, format, write, warn }: WatchOptions,
): Promise<boolean> {
  const { signal, clock = { delay: pause } } = context;
  const reported = new Map<string, string>();
  let lost = "";
  while (!signal.aborted) {
    try {
      const { approved } = await approvePending(context, {
        nodes,
        counts: ({ uid }) => reported.has(uid),
        report: (result, { uid }) => {
          const text = format(result);
          if (reported.get(uid) !== text) write(text);
          reported.set(uid, text);
        },
      });
      if (nodes.length > 0 && nodes.every((name) => approved.has(name))) return true;
      lost = "";
    } catch (thrown) {
      if (signal.aborted) return false;
      const error = toKhwError(thrown);
      if (error.code !== "UNREACHABLE" && error.code !== "COMPUTE_FAILED") throw error;
      if (lost !== error.message) warn(`warning: ${formatError(error)}\n`);
      lost = error.message;
    }
    await clock.delay(intervalMillis, signal).catch(() => signal.aborted);
  }
  return false;
}
