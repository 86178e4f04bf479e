import type { NumberedCheck } from "./check.ts";

/** "manual": a person must decide. "not run": a fact that the check needs is missing. */
export const outcomes = ["fail", "not run", "manual", "pass", "not applicable"] as const;
export type Outcome = (typeof outcomes)[number];

/** The result of evaluating a condition on a machine. */
export interface Judgement {
  readonly outcome: Outcome;
  /** The facts about the machine that led to the result. */
  readonly evidence: string;
  /** The khw.yaml line or the command that makes the check pass; absent if there is no remedy. */
  readonly fix?: string;
}

/** The result of a check on one machine. */
export interface CisResult extends Judgement, Pick<NumberedCheck, "id" | "title"> {
  readonly node: string;
  /** The reason why khw intentionally fails the check; absent if khw does not intend the result. */
  readonly reason?: string;
}
