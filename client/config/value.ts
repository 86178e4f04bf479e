import { KhwError } from "../../proto/errors.ts";

/** The place where a value was set. Used in error messages and to resolve relative paths. */
export interface Origin {
  /** The name of the place in error messages, such as "khw.yaml:3:12: kubernetes.version" or "--kubernetes-version". */
  readonly label: string;
  readonly code: "CONFIG_INVALID" | "INVALID_ARGUMENT";
  /** The folder that relative paths start from. */
  readonly folder: string;
}

/** The user's value before its type is known. All scalars are text, as on a command line. */
export type Value =
  | { readonly kind: "empty"; readonly origin: Origin }
  | TextValue
  | { readonly kind: "list"; readonly origin: Origin; readonly items: readonly Value[] }
  | { readonly kind: "map"; readonly origin: Origin; readonly entries: readonly ConfigEntry[] };

export interface TextValue {
  readonly kind: "text";
  readonly origin: Origin;
  readonly text: string;
  /** The type that Kubernetes assigns to the text in YAML; absent for a string. */
  readonly scalar?: "number" | "boolean" | undefined;
}

export interface ConfigEntry {
  readonly key: string;
  /** The place where the key itself was set. */
  readonly origin: Origin;
  readonly value: Value;
}

/** The value of a default or a flag, as plain data. */
export type Data = null | string | number | boolean | readonly Data[] | { readonly [key: string]: Data };

/** Converts the data to a value. Gives all parts of the value the same origin. */
export function toValue(data: Data, origin: Origin): Value {
  if (data === null) return { kind: "empty", origin };
  if (isList(data)) return { kind: "list", origin, items: data.map((item) => toValue(item, origin)) };
  if (typeof data !== "object") return { kind: "text", origin, text: String(data) };
  const entries = Object.entries(data).map(([key, item]) => ({ key, origin, value: toValue(item, origin) }));
  return { kind: "map", origin, entries };
}

function isList(data: Data): data is readonly Data[] {
  return Array.isArray(data);
}

export function refuseAt(origin: Origin, message: string, hint?: string): never {
  throw new KhwError(origin.code, `${origin.label}: ${message}`, { hint });
}

/** Runs a shared validation. Converts its INVALID_ARGUMENT error into an error with this origin's code. */
export function validateAt<T>(origin: Origin, validate: (field: string) => T): T {
  try {
    return validate(origin.label);
  } catch (error) {
    if (!(error instanceof KhwError) || error.code !== "INVALID_ARGUMENT") throw error;
    throw new KhwError(origin.code, error.message, { hint: error.hint, cause: error });
  }
}

/** Returns one error with the messages and hints of all errors. */
export function joinErrors(errors: readonly KhwError[]): KhwError {
  const [first] = errors;
  if (first !== undefined && errors.length === 1) return first;
  const lines = errors.map(({ message, hint }) => (hint === undefined ? message : `${message} (${hint})`));
  return new KhwError(first?.code ?? "CONFIG_INVALID", lines.join("\n"));
}
