import type { CheckedProgram, FlagCondition, FlagRule } from "./condition.ts";
import { type Edition, valueIn } from "./edition.ts";
import { type Evidence, flagOf } from "./evidence.ts";
import { holds, items } from "./flag-rule.ts";
import type { Judgement } from "./result.ts";
import { profileFix } from "./setting-fix.ts";

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
  return { outcome: "fail", evidence: shown, ...fixOf(condition, value, edition) };
}

/**
 * Returns the khw.yaml line that satisfies the condition. Prefers a setting of the production profile to a flag.
 * Returns no line for etcd, because khw.yaml cannot set etcd's flags.
 */
function fixOf(condition: FlagCondition, found: string | undefined, edition: Edition): Pick<Judgement, "fix"> {
  const { program, flag, rule, remedy } = condition;
  if (program === "etcd") return {};
  const setting = profileFix(condition, edition);
  if (setting !== undefined) return { fix: setting };
  const value = remedy ?? wanted(rule, found);
  if (value !== undefined) return { fix: flagLine(program, flag, value) };
  if (rule === "set") return { fix: `khw.yaml: remove ${flag} from kubernetes.flags.${program}` };
  return {};
}

/** Returns the value that satisfies the rule; null if the flag must be removed. */
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
