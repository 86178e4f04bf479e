import { KhwError } from "../../../proto/errors.ts";
import { show } from "../../../proto/validate.ts";
import { entriesOf, type Parser, refuseUnknown, text } from "../parsers.ts";
import { joinErrors, refuseAt, type Value } from "../value.ts";

/** A check of a value in a configuration file. Throws a KhwError with the file, the line and the column. */
export type Check = Parser<unknown>;

/**
 * Checks a map that may have these fields and no others. Reports all errors at once. A field without a value counts as
 * absent, as in Kubernetes.
 */
export function shape(fields: Readonly<Record<string, Check>>, required: readonly string[] = []): Check {
  return (value) => {
    const entries = entriesOf(value);
    const missing = required.filter(
      (name) => !entries.some(({ key, value }) => key === name && value.kind !== "empty"),
    );
    allOf([
      () => refuseUnknown(entries, Object.keys(fields)),
      ...missing.map((name) => () => refuseAt(value.origin, `${name} is missing`)),
      ...entries.map(
        ({ key, value: inner }) =>
          () =>
            inner.kind === "empty" || fields[key]?.(inner),
      ),
    ]);
  };
}

/** Checks a list. Unlike in khw.yaml, a single value does not count as a list. */
export function listOf(check: Check): Check {
  return (value) => {
    if (value.kind !== "list") return refuseAt(value.origin, "must be a list");
    allOf(value.items.map((item) => () => check(item)));
  };
}

/** Runs all checks. Throws their errors as one error. */
export function allOf(checks: readonly (() => unknown)[]): void {
  const errors: KhwError[] = [];
  for (const check of checks) {
    try {
      check();
    } catch (error) {
      if (!(error instanceof KhwError)) throw error;
      errors.push(error);
    }
  }
  if (errors.length > 0) throw joinErrors(errors);
}

/** Returns the value of a field; undefined if the value is not a map, or if the field is absent or empty. */
export function fieldIn(value: Value, name: string): Value | undefined {
  const entries = value.kind === "map" ? value.entries : [];
  const found = entries.find(({ key }) => key === name)?.value;
  return found?.kind === "empty" ? undefined : found;
}

/** Returns the value of a field like `fieldIn`, but an empty string also counts as absent. */
export function filledField(value: Value, name: string): Value | undefined {
  const found = fieldIn(value, name);
  return found?.kind === "text" && found.text === "" ? undefined : found;
}

/** Checks that Kubernetes reads the value as a string. The API server does not convert numbers and booleans. */
export function string(value: Value): string {
  const found = text(value);
  if (value.kind === "text" && value.scalar !== undefined)
    refuseAt(value.origin, `Kubernetes reads ${found} as a ${value.scalar}, but needs a string`, `write "${found}"`);
  return found;
}

/** Checks that Kubernetes reads a credential as a string. The message does not quote the credential. */
export function secretString(value: Value): string {
  if (value.kind !== "text" || value.scalar !== undefined)
    return refuseAt(value.origin, "Kubernetes needs a string here", "put the value in quotes");
  return value.text;
}

/** Checks that Kubernetes reads the value as a string that is not blank. */
export function filled(value: Value): void {
  if (string(value).trim() === "") refuseAt(value.origin, "the text is empty");
}

/** Checks that Kubernetes reads the value as a boolean. */
export function flag(value: Value): void {
  const found = text(value);
  if (value.kind === "text" && value.scalar === "boolean") return;
  refuseAt(value.origin, `${show(found)} is not a boolean`, "write true or false, without quotes");
}

/** Checks that Kubernetes reads the value as a whole number of at least `least`. */
export function wholeNumber(least: 0 | 1): Check {
  return (value) => {
    const found = text(value);
    if (value.kind === "text" && value.scalar === undefined && /^\d+$/.test(found))
      refuseAt(value.origin, `${show(found)} is a string, but Kubernetes needs a number`, "remove the quotes");
    if (!/^(?:0|[1-9]\d{0,8})$/.test(found) || Number(found) < least)
      refuseAt(value.origin, `${show(found)} is not a number${least === 1 ? " above 0" : ""}`);
  };
}

/** Rejects an empty list. */
export function refuseEmpty(value: Value | undefined): void {
  if (value?.kind === "list" && value.items.length === 0) refuseAt(value.origin, "the list is empty");
}

export function anything(_value: Value): void {}
