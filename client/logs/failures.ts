import { formatError, type KhwError } from "../../proto/errors.ts";
import type { Member } from "../cluster/open.ts";
import type { Context } from "../terminal/context.ts";
import { conclude as combine } from "../cluster/combine-errors.ts";
import type { ReadOptions } from "./read-all.ts";

const partly = 3;

/**
 * Collects the failures that occur while the client reads from many nodes. Prints each failure on standard error
 * immediately, and counts the failures.
 */
export interface Failures {
  readonly failed: ReadOptions["failed"];
  /**
   * Returns 0 if no source failed, and 3 if some sources failed.
   * @throws KhwError if every source failed
   */
  conclude(sources: number): number;
}

/** Reports a node's failure only once, even if the failure ends several of the node's streams. */
export function collectFailures({ warn }: Pick<Context, "warn">): Failures {
  const errors = new Map<string, KhwError>();
  const told = new Map<string, string>();
  return {
    failed: (title, error, retryMillis) => {
      const text = formatError(error);
      const node = error.node ?? title;
      if (told.get(node) !== text)
        warn(`${text}${retryMillis === undefined ? "" : "\nthe client keeps trying until the node answers"}\n`);
      told.set(node, text);
      if (retryMillis === undefined) errors.set(title, error);
    },
    conclude: (sources) => {
      if (errors.size === 0) return 0;
      if (errors.size < sources) return partly;
      const unlike = [...new Map([...errors.values()].map((error) => [formatError(error), error])).values()];
      combine(unlike, { done: 0, headline: "no node answers" });
      return partly;
    },
  };
}

/** Returns the members that answer; reports the members that do not answer. */
export function answering(members: readonly Member[], { failed }: Failures): Member[] {
  return members.filter(({ node, error }) => {
    if (error !== undefined) failed(node.address.name, error);
    return error === undefined;
  });
}
