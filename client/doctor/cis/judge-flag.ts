import { type CheckedProgram, type FlagCondition, type FlagRule } from "./condition.ts";
import { type Edition, valueIn } from "./edition.ts";
import { type Evidence, flagOf } from "./evidence.ts";
import type { Judgement } from "./result.ts";

/** Judges a flag of a running program. The caller has made sure that the program is running. */
export function judgeFlag(condition: FlagCondition, evidence: Evidence, edition: Edition): Judgement {
  const { program, flag, rule, replacedBy, orNotSet = [] } = condition;
  const value = flagOf(evidence, program, flag);
  const file = replacedBy === undefined ? undefined : flagOf(evidence, program, replacedBy);
  if (value === undefined && file !== undefined) {
    return { outcome: "manual", evidence: `--${replacedBy}=${file} replaces --${flag}: read this file` };
  }
  const shown = value === undefined ? `--${flag} is not set` : `--${flag}=${value}`;
  const passes =
    value === undefined ? rule === "not set" || valueIn(orNotSet, edition) === true : holds(rule, value, edition);
  if (passes) return { outcome: "pass", evidence: shown };
  return { outcome: "fail", evidence: shown, ...fixOf(condition, value) };
}

function holds(rule: FlagRule, value: string, edition: Edition): boolean {
  if (rule === "set") return true;
  if (rule === "not set") return false;
  if ("is" in rule) return value === rule.is;
  if ("isNot" in rule) return value !== rule.isNot;
  if ("has" in rule) return items(value).includes(rule.has);
  if ("lacks" in rule) return !items(value).includes(rule.lacks);
  if ("atLeast" in rule) return /^\d+$/.test(value) && Number(value) >= rule.atLeast;
  return items(value).every((item) => valueIn(rule.onlyFrom, edition)?.includes(item) === true);
}

/** Returns the line of khw.yaml that makes the condition hold. etcd's flags are not in khw.yaml. */
function fixOf({ program, flag, rule, remedy }: FlagCondition, found: string | undefined): Pick<Judgement, "fix"> {
  if (program === "etcd") return {};
  const value = remedy ?? wanted(rule, found);
  if (value !== undefined) return { fix: flagLine(program, flag, value) };
  if (rule === "set") return { fix: `khw.yaml: remove ${flag} from kubernetes.flags.${program}` };
  return {};
}

/** Returns the value that satisfies the rule; null removes the flag. */
function wanted(rule: FlagRule, found: string | undefined): string | null | undefined {
  if (rule === "set") return undefined;
  if (rule === "not set") return null;
  if ("is" in rule) return rule.is;
  if ("isNot" in rule) return "true";
  if ("has" in rule) return [...items(found ?? ""), rule.has].join(",");
  if ("lacks" in rule)
    return (
      items(found ?? "")
        .filter((item) => item !== rule.lacks)
        .join(",") || null
    );
  return "atLeast" in rule ? String(rule.atLeast) : undefined;
}

export function flagLine(program: CheckedProgram, flag: string, value: string | null): string {
  // Commas, brackets and other special characters end a plain value in YAML's flow style.
  const text = value === null || /^[\w./+-]+$/.test(value) ? value : JSON.stringify(value);
  return `khw.yaml: kubernetes: {flags: {${program}: {${flag}: ${text}}}}`;
}

function items(list: string): string[] {
  return list.split(",").filter((item) => item !== "");
}
