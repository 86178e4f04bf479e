import { type Command, Option } from "commander";
import { refuse, show } from "../../proto/validate.ts";
import { schema } from "./schema.ts";
import { type Flag, type PlacedSetting, settingsOf } from "./setting.ts";
import type { Data } from "./value.ts";

/** Adds the flags of all settings at or below these paths ("gce", "kubernetes.version") to the command. */
export function addFlags(command: Command, paths: readonly string[]): void {
  for (const option of settingsBelow(paths).flatMap(toOptions)) command.addOption(option);
}

/**
 * Returns the flags, with their dashes, of all settings at or below one of the paths. Without paths, returns the flags
 * of every setting.
 */
export function flagNames(paths?: readonly string[]): ReadonlySet<string> {
  const settings = paths === undefined ? settingsOf(schema) : settingsBelow(paths);
  return new Set(settings.map(({ setting }) => setting.flag.name));
}

function settingsBelow(paths: readonly string[]): readonly PlacedSetting[] {
  return settingsOf(schema).filter((placed) => {
    const place = placed.path.join(".");
    return paths.some((path) => place === path || place.startsWith(`${path}.`));
  });
}

/**
 * Returns the values given on the command line, by flag.
 * @throws KhwError INVALID_ARGUMENT for an invalid item of a map
 */
export function givenFlags(command: Command): ReadonlyMap<string, Data> {
  const given = new Map<string, Data>();
  for (const { setting } of settingsOf(schema)) {
    const attribute = new Option(setting.flag.name).attributeName();
    if (command.getOptionValueSource(attribute) !== "cli") continue;
    given.set(setting.flag.name, toData(setting.flag, command.getOptionValue(attribute)));
  }
  return given;
}

function toOptions({ path, setting: { flag, help, default: preset } }: PlacedSetting): readonly Option[] {
  const shown = preset === null || typeof preset === "object" ? "" : ` (default: ${preset})`;
  const heading = path.length > 1 ? `In khw.yaml under ${path[0]}:` : "In khw.yaml:";
  const spelling = flag.value === undefined ? flag.name : `${flag.name} <${flag.value}>`;
  const option = new Option(spelling, help + shown).helpGroup(heading);
  if (flag.repeat !== undefined) {
    option.argParser<readonly string[]>((item, items) => [...(Array.isArray(items) ? items : []), item]);
  }
  // The command line can turn off a switch that khw.yaml turns on.
  const off = new Option(flag.name.replace("--", "--no-")).helpGroup(heading).hideHelp();
  return flag.value === undefined ? [option, off] : [option];
}

function toData(flag: Flag, value: unknown): Data {
  if (typeof value === "string" || typeof value === "boolean") return value;
  const items = Array.isArray(value) ? value.map(String) : [];
  return flag.repeat === "map" ? Object.fromEntries(items.map((item) => toEntry(flag, item))) : items;
}

function toEntry(flag: Flag, item: string): [key: string, value: string | null] {
  const [, key, value] = /^([^=]+)=(.*)$/s.exec(item) ?? [];
  if (key !== undefined && value !== undefined) return [key, value];
  return item.endsWith("-") ? [item.slice(0, -1), null] : refuse(flag.name, `${show(item)} is not ${flag.value ?? ""}`);
}
