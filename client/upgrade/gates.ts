import { KhwError, toKhwError } from "../../proto/errors.ts";
import type { ClusterConfig } from "../config/schema.ts";
import { note, type Progress } from "../progress/progress.ts";
import type { NodeOutcome } from "../rollout/one-by-one.ts";
import type { Prepared } from "../rollout/plan.ts";
import type { Context } from "../terminal/context.ts";
import { checkCanary } from "./canary.ts";
import type { Course } from "./course.ts";
import { runGate } from "./gate.ts";

/** The checks and pauses between two nodes. */
export interface Gates {
  /** @throws the reason why the update of the next node must not begin */
  readonly between: (outcome: NodeOutcome) => Promise<void>;
  /** The gates that failed. */
  readonly failures: () => readonly KhwError[];
  /** Returns a message about the pause; undefined if the upgrade did not pause. */
  readonly paused: () => string | undefined;
  /** Returns the output of the gates, for the record; it may be empty. */
  readonly report: () => string;
}

export interface GatesOptions {
  readonly gate: string;
  readonly pauseAfter: number | undefined;
  readonly context: Pick<Context, "env" | "signal">;
  readonly progress: Progress;
  readonly course: Course;
  readonly plan: Pick<Prepared, "admin" | "publicAddress">;
  readonly timeouts: Pick<ClusterConfig["timeouts"], "verify">;
}

/** After the first changed node, khw's own checks run first, then the user's gate. A pause comes last. */
export function gatesBetween(options: GatesOptions): Gates {
  const { gate, pauseAfter, context, progress, course, plan, timeouts } = options;
  const { signal, env } = context;
  const failures: KhwError[] = [];
  const reports: string[] = [];
  let paused: string | undefined;
  let changed = 0;

  const afterFirst = async ({ node }: NodeOutcome): Promise<void> => {
    await checkCanary(node, {
      plan,
      waitMillis: timeouts.verify,
      signal,
      report: (check) => progress.emit({ kind: "check", ...check }),
    });
    if (gate === "") return;
    note(progress, `gate: ${gate}`);
    const variables = { KHW_NODE: node.address.name, KHW_FROM: course.from, KHW_TO: course.to };
    const output = await runGate(gate, { variables, env, signal });
    if (output !== "") {
      note(progress, `gate: ${output}`);
      reports.push(`gate: ${output}`);
    }
  };

  return {
    between: async (outcome) => {
      // A node that was already up to date is not a canary.
      if (outcome.changed === 0) return;
      changed++;
      if (changed === 1) {
        await afterFirst(outcome).catch((thrown: unknown) => {
          const error = toKhwError(thrown);
          failures.push(error);
          throw error;
        });
      }
      if (changed !== pauseAfter) return;
      paused = `paused after ${outcome.node.address.name}`;
      reports.push(paused);
      throw new KhwError("SKIPPED", paused);
    },
    failures: () => failures,
    paused: () => paused,
    report: () => reports.join("; "),
  };
}
