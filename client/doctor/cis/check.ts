import type { Condition } from "./condition.ts";
import { type Edition, isFrom } from "./edition.ts";

export const sections = ["1.1", "1.2", "1.3", "1.4", "2", "3.1", "3.2"] as const;
export type Section = (typeof sections)[number];

/** A check of the benchmark. Its number is its position among the checks of its section in an edition. */
export interface CisCheck {
  readonly section: Section;
  /** The fact that the check confirms. */
  readonly title: string;
  readonly condition: Condition;
  /** The first and the last edition with this check; absent: all. */
  readonly since?: Edition;
  readonly until?: Edition;
  /** A remedy that the condition does not determine. */
  readonly fix?: string;
  readonly reason?: Reason;
}

/** Why khw fails a check on purpose. */
export interface Reason {
  readonly why: string;
  /** A weaker demand that khw does meet. If a machine does not meet the demand either, the reason does not apply. */
  readonly but?: Condition;
  /** Whether users may still want the fix. */
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
