import { profileRows, type ProfileRow } from "../../../proto/profiles.ts";
import type { FlagCondition } from "./condition.ts";
import { type Edition, firstMinors } from "./edition.ts";
import { holds } from "./flag-rule.ts";

/** Returns the line of khw.yaml that turns on a setting, for example "khw.yaml: hardening: {profilingOff: true}". */
export function settingLine(setting: string, value: string): string {
  const [first = "", ...others] = setting.split(".");
  const inner = others.reduceRight((rest, key) => `{${key}: ${rest}}`, value);
  return `khw.yaml: ${first}: ${inner}`;
}

/**
 * Returns the khw.yaml line for the production profile's setting that satisfies the condition; undefined if no setting
 * does.
 */
export function profileFix(condition: FlagCondition, edition: Edition): string | undefined {
  const row = profileRows.find((one) => satisfies(one, condition, edition));
  return row && settingLine(row.setting, row.production);
}

function satisfies({ effects }: ProfileRow, { program, flag, rule }: FlagCondition, edition: Edition): boolean {
  const minor = firstMinors[edition];
  return effects.some((effect) => {
    if ((effect.until ?? minor) < minor) return false;
    if (effect.kind === "plugin") {
      return (
        flag === "enable-admission-plugins" && typeof rule === "object" && "has" in rule && rule.has === effect.plugin
      );
    }
    if (effect.kind !== "flag" || effect.flag !== flag || effect.value === null) return false;
    return effect.components.some((component) => component === program) && holds(rule, effect.value, edition);
  });
}
