import { KhwError, toKhwError } from "../../proto/errors.ts";
import type { ClusterConfig } from "../config/schema.ts";
import { note, type ProgressOptions } from "../progress/progress.ts";
import type { NodeOutcome } from "../rollout/one-by-one.ts";
import type { Prepared } from "../rollout/plan.ts";
import type { Context } from "../terminal/context.ts";
import { checkCanary } from "./canary.ts";
import type { Course } from "./course.ts";
import { runGate } from "./gate.ts";

/** The checks and pauses of an upgrade. */
export interface Gates {
  /**
   * Runs before each node that follows another, with the outcomes so far.
   * @throws the reason why the update of the next node must not begin
   */
  readonly between: (done: readonly NodeOutcome[]) => Promise<void>;
  /** Runs after the last node. Does nothing if a node failed, or if the gates have passed. Never rejects. */
  readonly last: (outcomes: readonly NodeOutcome[]) => Promise<void>;
  /** The gates that failed. */
  readonly failures: () => readonly KhwError[];
  /** Returns a message about the pause; undefined if the upgrade did not pause. */
  readonly paused: () => string | undefined;
  /** Returns the output of the gates, for the record; it may be empty. */
  readonly report: () => string;
}

export interface GatesOptions extends ProgressOptions {
  /** The user's command; empty if there is no such command. */
  readonly gate: string;
  readonly pauseAfter: number | undefined;
  readonly env: Context["env"];
  readonly course: Course;
  readonly plan: Pick<Prepared, "admin" | "publicAddress" | "running">;
  readonly timeouts: Pick<ClusterConfig["timeouts"], "verify">;
  /** khw's own checks of a node. Default: `checkCanary`. */
  readonly check?: typeof checkCanary | undefined;
}

/**
 * After the canary, khw's own checks run first, then the user's gate. A pause comes last. The canary is the first node
 * that changes in this run. If none has changed yet, it is a node that an earlier run upgraded. A gate that failed
 * earlier therefore runs again before another node changes. On the way back, a node that does not change may never have
 * left the old release, so it is not a canary. A new controller is not a canary either, because it has no clients yet.
 */
export function createGates(options: GatesOptions): Gates {
  const { gate, pauseAfter, env, progress, signal, course, plan, timeouts, check = checkCanary } = options;
  const failures: KhwError[] = [];
  const reports: string[] = [];
  let paused: string | undefined;
  let passed = false;

  const hadRelease = new Set(plan.running.kubernetes.map(({ node }) => node));

  const runGates = async ({ node, changed }: NodeOutcome): Promise<void> => {
    await check(node, {
      plan,
      // An earlier run may have started this API server long ago, so only new errors count.
      errors: changed > 0 ? "since start" : "new",
      waitMillis: timeouts.verify,
      signal,
      report: (result) => progress.emit({ kind: "check", ...result }),
    });
    if (gate !== "") {
      note(progress, `gate: ${gate}`);
      const variables = { KHW_NODE: node.address.name, KHW_FROM: course.from, KHW_TO: course.to };
      const output = await runGate(gate, { variables, env, signal });
      if (output !== "") {
        note(progress, `gate: ${output}`);
        reports.push(`gate: ${output}`);
      }
    }
    passed = true;
  };

  const pass = async (done: readonly NodeOutcome[]): Promise<void> => {
    const known = done.filter(({ node }) => hadRelease.has(node.address.name));
    const canary = known.find(({ changed }) => changed > 0) ?? (course.direction === "back" ? undefined : known[0]);
    if (passed || canary === undefined) return;
    await runGates(canary).catch((thrown: unknown) => {
      signal.throwIfAborted();
      const error = toKhwError(thrown);
      failures.push(error);
      throw error;
    });
  };

  return {
    between: async (done) => {
      await pass(done);
      const changed = done.filter((outcome) => outcome.changed > 0);
      if (pauseAfter === undefined || changed.length < pauseAfter) return;
      paused = `paused after ${changed.at(-1)?.node.address.name ?? "?"}`;
      reports.push(paused);
      throw new KhwError("SKIPPED", paused);
    },
    last: async (outcomes) => {
      if (outcomes.some(({ error }) => error !== undefined)) return;
      // `failures` keeps the error.
      await pass(outcomes).catch(() => {});
    },
    failures: () => failures,
    paused: () => paused,
    report: () => reports.join("; "),
  };
}
