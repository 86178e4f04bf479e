import { resolve } from "node:path";
import { show } from "../../proto/validate.ts";
import { didYouMean } from "./suggest.ts";
import { type ConfigEntry, refuseAt, validateAt, type Value } from "./value.ts";

/**
 * Converts the user's value into the program's value.
 * @throws KhwError that names the value's origin
 */
export type Parser<T> = (value: Value) => T;

export function text(value: Value): string {
  if (value.kind !== "text") return refuseAt(value.origin, `expected a string, found ${kindInWords(value)}`);
  return value.text;
}

/** Parses text with one of the shared validation functions. */
export function checked<T>(validate: (field: string, text: string) => T): Parser<T> {
  return (value) => {
    const found = text(value);
    return validateAt(value.origin, (field) => validate(field, found));
  };
}

/** Returns undefined if no value was given. */
export function optional<T>(parse: Parser<T>): Parser<T | undefined> {
  return (value) => (value.kind === "empty" ? undefined : parse(value));
}

export function boolean(value: Value): boolean {
  const found = text(value);
  if (found !== "true" && found !== "false") refuseAt(value.origin, `${show(found)} is neither true nor false`);
  return found === "true";
}

export function oneOf<const T extends string>(choices: readonly T[]): Parser<T> {
  return (value) => {
    const found = text(value);
    return (
      choices.find((choice) => choice === found) ??
      refuseAt(value.origin, `${show(found)} is not one of ${choices.join(", ")}`, didYouMean(found, choices))
    );
  };
}

/**
 * Returns an absolute path. A relative path starts at the configuration's folder (for a flag, at the current folder).
 */
export function path(value: Value): string {
  const found = text(value);
  if (found === "" || found.includes("\0")) refuseAt(value.origin, `${show(found)} is not a path`);
  return resolve(value.origin.folder, found);
}

const units = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 } as const;

/** Parses "90s", "10m", "1h" or "500ms" into milliseconds. */
export function duration(value: Value): number {
  const found = text(value);
  const [, count = "", unit = ""] = /^(\d{1,6})(ms|s|m|h)$/.exec(found) ?? [];
  if (unit !== "ms" && unit !== "s" && unit !== "m" && unit !== "h") {
    return refuseAt(value.origin, `${show(found)} is not a duration`, "use a duration such as 90s, 10m or 1h");
  }
  const millis = Number(count) * units[unit];
  if (millis === 0 || millis > 24 * units.h) refuseAt(value.origin, `${show(found)} is not between 1ms and 24h`);
  return millis;
}

/** Parses a list with at least one item; a single value counts as a list of one item. */
export function list<T>(parse: Parser<T>): Parser<readonly T[]> {
  return (value) => {
    if (value.kind === "text") return [parse(value)];
    if (value.kind !== "list") return refuseAt(value.origin, `expected a list, found ${kindInWords(value)}`);
    if (value.items.length === 0) refuseAt(value.origin, "the list is empty");
    return value.items.map(parse);
  };
}

/** Parses a map whose keys `parseKey` accepts. */
export function record<T>(
  parseKey: (field: string, key: string) => string,
  parse: Parser<T>,
): Parser<Readonly<Record<string, T>>> {
  return (value) =>
    Object.fromEntries(
      entriesOf(value).map(({ key, origin, value: item }) => [
        validateAt(origin, (field) => parseKey(field, key)),
        parse(item),
      ]),
    );
}

/** Merges settings that are maps. The keys from the command line are added to the keys from khw.yaml. */
export function mergeRecords<T>(
  fromFile: Readonly<Record<string, T>>,
  fromFlag: Readonly<Record<string, T>>,
): Readonly<Record<string, T>> {
  return { ...fromFile, ...fromFlag };
}

export function entriesOf(value: Value): readonly ConfigEntry[] {
  if (value.kind !== "map") return refuseAt(value.origin, `expected a map, found ${kindInWords(value)}`);
  return value.entries;
}

/** Rejects every entry whose key is not in `known`, and suggests a similar key. */
export function refuseUnknown(entries: readonly ConfigEntry[], known: readonly string[]): void {
  const unknown = entries.find(({ key }) => !known.includes(key));
  if (unknown === undefined) return;
  const suggestion = didYouMean(unknown.key, known) ?? `known keys: ${known.join(", ")}`;
  refuseAt(unknown.origin, "there is no such key", suggestion);
}

function kindInWords(value: Value): string {
  return value.kind === "text"
    ? `the text ${show(value.text)}`
    : { empty: "nothing", list: "a list", map: "a map" }[value.kind];
}
