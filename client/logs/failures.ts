import { formatError, type KhwError } from "../../proto/errors.ts";
import type { Member } from "../cluster/open.ts";
import type { Context } from "../terminal/context.ts";
import { several } from "../cluster/combine-errors.ts";
import type { ReadOptions } from "./read-all.ts";

const partly = 3;

/** What went wrong while many nodes were read: told on standard error as it happens, and counted for the end. */
export interface Failures {
  readonly failed: ReadOptions["failed"];
  /** 0 when nothing failed, 3 when some did. @throws KhwError when nothing succeeded */
  conclude(sources: number): number;
}

/** A node's failure is told of once, however many of its streams it ends. */
export function collectFailures({ warn }: Pick<Context, "warn">): Failures {
  const errors = new Map<string, KhwError>();
  const told = new Map<string, string>();
  return {
    failed: (title, error, retryMillis) => {
      const text = formatError(error);
      const node = error.node ?? title;
      if (told.get(node) !== text)
        warn(`${text}${retryMillis === undefined ? "" : "\nit is tried again until it answers"}\n`);
      told.set(node, text);
      if (retryMillis === undefined) errors.set(title, error);
    },
    conclude: (sources) => {
      if (errors.size === 0) return 0;
      if (errors.size < sources) return partly;
      const unlike = [...new Map([...errors.values()].map((error) => [formatError(error), error])).values()];
      const [first, ...others] = unlike;
      if (first !== undefined && others.length === 0) throw first;
      throw several(unlike, { code: first?.code ?? "UNREACHABLE", headline: "no node answers" });
    },
  };
}

/** Those that answer; the others are reported. */
export function answering(members: readonly Member[], { failed }: Failures): Member[] {
  return members.filter(({ node, error }) => {
    if (error !== undefined) failed(node.address.name, error);
    return error === undefined;
  });
}
