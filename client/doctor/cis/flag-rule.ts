import type { FlagRule } from "./condition.ts";
import { type Edition, valueIn } from "./edition.ts";

/** Whether a flag with this value meets the requirement. */
export function holds(rule: FlagRule, value: string, edition: Edition): boolean {
  if (rule === "set") return true;
  if (rule === "not set") return false;
  if ("is" in rule) return value === rule.is;
  if ("isNot" in rule) return value !== rule.isNot;
  if ("has" in rule) return items(value).includes(rule.has);
  if ("lacks" in rule) return !items(value).includes(rule.lacks);
  if ("atLeast" in rule) return /^\d+$/.test(value) && Number(value) >= rule.atLeast;
  return items(value).every((item) => valueIn(rule.onlyFrom, edition)?.includes(item) === true);
}

/** Returns the items of a list in a flag's value. */
export function items(list: string): string[] {
  return list.split(",").filter((item) => item !== "");
}
