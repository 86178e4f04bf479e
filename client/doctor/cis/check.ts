import type { Condition } from "./condition.ts";
import { type Edition, isFrom } from "./edition.ts";

export const sections = ["1.1", "1.2", "1.3", "1.4", "2", "3.1", "3.2"] as const;
export type Section = (typeof sections)[number];

/** A check of the benchmark. In each edition, a check's number is its position within its section. */
export interface CisCheck {
  readonly section: Section;
  /** The fact that the check confirms. */
  readonly title: string;
  readonly condition: Condition;
  /** The first and last editions that contain this check; absent if there is no limit. */
  readonly since?: Edition;
  readonly until?: Edition;
  /** A remedy to use instead of the remedy derived from the condition. */
  readonly fix?: string;
  readonly reason?: Reason;
}

/** The reason why khw intentionally fails a check. */
export interface Reason {
  readonly why: string;
  /** A weaker requirement that khw meets. The reason applies only to machines that meet this requirement. */
  readonly but?: Condition;
  /** Whether to show the fix anyway, because some users may want to apply it. */
  readonly optional?: true;
}

export interface NumberedCheck extends CisCheck {
  /** For example "1.2.20". */
  readonly id: string;
}

/** Returns the checks of an edition in order, each with its number in this edition. */
export function checksIn(edition: Edition, checks: readonly CisCheck[]): NumberedCheck[] {
  return sections.flatMap((section) =>
    checks
      .filter((check) => check.section === section && isIn(check, edition))
      .map((check, index) => ({ ...check, id: `${section}.${index + 1}` })),
  );
}

function isIn({ since, until }: CisCheck, edition: Edition): boolean {
  return (since === undefined || isFrom(edition, since)) && (until === undefined || isFrom(until, edition));
}
