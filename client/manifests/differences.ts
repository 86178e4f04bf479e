import { isDeepStrictEqual } from "node:util";
import { isMap } from "../pki/check/yaml.ts";
import { isSecret, type ObjectName, ownedFields } from "./object.ts";

/** A field whose value would change. */
export interface FieldDifference {
  /** For example ".spec.ports[0].port". */
  readonly path: string;
  /** The current value as JSON; absent if the field does not exist. */
  readonly found?: string;
  /** The value after the change. */
  readonly wanted?: string;
}

/** The metadata fields that only the API server sets. */
const ofServer: ReadonlySet<string> = new Set([
  "managedFields",
  "resourceVersion",
  "generation",
  "uid",
  "selfLink",
  "creationTimestamp",
]);
const hidden = '"(hidden)"';

/** Returns the fields that differ between an object and the result of applying its manifest. */
export function compareObjects(name: ObjectName, found: unknown, wanted: unknown): FieldDifference[] {
  const differences = compare(strip(found), strip(wanted), "");
  if (differences.length === 0) {
    // Even if all values are equal, khw must own them; otherwise, another owner could remove them.
    return isDeepStrictEqual(claim(found), claim(wanted)) ? [] : [{ path: ".metadata.managedFields" }];
  }
  return isSecret(name) ? differences.map(hide) : differences;
}

function claim(object: unknown): unknown {
  const entry = ownedFields(object);
  return isMap(entry) ? { ...entry, time: undefined } : undefined;
}

function strip(object: unknown): unknown {
  if (!isMap(object)) return object;
  const { metadata, status: _, ...rest } = Object.fromEntries(Object.entries(object));
  const kept = Object.entries(Object(metadata)).filter(([key]) => !ofServer.has(key));
  return { ...rest, metadata: Object.fromEntries(kept) };
}

function compare(found: unknown, wanted: unknown, path: string): FieldDifference[] {
  if (isDeepStrictEqual(found, wanted)) return [];
  if (isMap(found) && isMap(wanted)) {
    const [one, other] = [new Map(Object.entries(found)), new Map(Object.entries(wanted))];
    const keys = [...new Set([...one.keys(), ...other.keys()])];
    return keys.flatMap((key) => compare(one.get(key), other.get(key), `${path}${segment(key)}`));
  }
  if (Array.isArray(found) && Array.isArray(wanted) && found.length === wanted.length) {
    return found.flatMap((item, index) => compare(item, wanted[index], `${path}[${index}]`));
  }
  return [{ path, ...text("found", found), ...text("wanted", wanted) }];
}

function segment(key: string): string {
  return /^[A-Za-z0-9_-]+$/.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`;
}

function text<Name extends string>(name: Name, value: unknown): Partial<Record<Name, string>> {
  // oxlint-disable-next-line no-unsafe-type-assertion -- a computed key has the type string
  return (value === undefined ? {} : { [name]: JSON.stringify(value) }) as Partial<Record<Name, string>>;
}

/** Hides a Secret's values and annotations. The annotations may contain the values that kubectl applied last. */
function hide(difference: FieldDifference): FieldDifference {
  const { path, found, wanted } = difference;
  if (!/^\.(data|stringData|metadata\.annotations)/.test(path)) return difference;
  return { path, ...(found !== undefined && { found: hidden }), ...(wanted !== undefined && { wanted: hidden }) };
}
