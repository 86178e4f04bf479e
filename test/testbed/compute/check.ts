import type { Discovery, Schema } from "./discovery.ts";

/** A value that violates its schema, and the reason. */
export interface Violation {
  readonly at: string;
  readonly problem: "type" | "unknown" | "pattern" | "enum" | "format" | "missing";
  readonly value: unknown;
  /** The schema's requirement: a type, a pattern, or the values of an enum. */
  readonly wanted: string;
}

/** The context of a check: the document, and the method that defines the required fields. */
export interface CheckOptions {
  readonly discovery: Discovery;
  /**
   * The method, for example `compute.addresses.insert`. Absent for responses, because Google guarantees no fields in
   * them.
   */
  readonly methodId?: string;
}

type Check = (value: unknown, schema: Schema, at: string) => readonly Violation[];

const formats: Readonly<Record<string, RegExp>> = {
  uint64: /^\d{1,20}$/,
  int64: /^-?\d{1,19}$/,
  byte: /^[A-Za-z0-9+/_-]*={0,2}$/,
};

/** Checks a value against a schema of the discovery document. Unknown fields are violations, as in Google's API. */
export function checkValue(value: unknown, schema: Schema, options: CheckOptions): readonly Violation[] {
  const wrong = (problem: Violation["problem"], at: string, value: unknown, wanted: string): Violation[] => [
    { at, problem, value, wanted },
  ];

  const checkString: Check = (value, schema, at) => {
    if (typeof value !== "string") return wrong("type", at, value, "string");
    if (schema.enum && !schema.enum.includes(value)) return wrong("enum", at, value, schema.enum.join(", "));
    if (schema.pattern !== undefined && !new RegExp(`^(?:${schema.pattern})$`).test(value))
      return wrong("pattern", at, value, schema.pattern);
    if (schema.readOnly && value !== (schema.default ?? value)) return wrong("enum", at, value, schema.default ?? "");
    const format = formats[schema.format ?? ""];
    return format && !format.test(value) ? wrong("format", at, value, schema.format ?? "") : [];
  };

  const checkObject: Check = (value, schema, at) => {
    if (typeof value !== "object" || value === null || Array.isArray(value)) return wrong("type", at, value, "object");
    const properties = schema.properties ?? {};
    const missing = Object.entries(properties)
      .filter(([name, property]) => isRequired(property, options.methodId) && !(name in value))
      .flatMap(([name]) => wrong("missing", `${at}.${name}`, undefined, "a value"));
    const present = Object.entries(value).flatMap(([name, item]) => {
      const property = Object.hasOwn(properties, name) ? properties[name] : schema.additionalProperties;
      return property
        ? check(item, property, `${at}.${name}`)
        : wrong("unknown", `${at}.${name}`, item, "no such field");
    });
    return [...missing, ...present];
  };

  const check: Check = (value, schema, at) => {
    if (schema.$ref !== undefined) {
      const target = options.discovery.schemas[schema.$ref];
      if (!target) throw new Error(`schema.json: ${schema.$ref} at ${at} is not in the document`);
      return check(value, target, at);
    }
    switch (schema.type) {
      case "string":
        return checkString(value, schema, at);
      case "integer":
        return Number.isInteger(value) ? [] : wrong("type", at, value, "integer");
      case "number":
      case "boolean":
        return typeof value === schema.type ? [] : wrong("type", at, value, schema.type);
      case "array":
        if (!Array.isArray(value)) return wrong("type", at, value, "array");
        return value.flatMap((item, index) => check(item, schema.items ?? {}, `${at}[${index}]`));
      case "object":
        return checkObject(value, schema, at);
      case "any":
      case undefined:
        return [];
      default:
        throw new Error(`schema.json: the type ${schema.type} at ${at} is not known`);
    }
  };

  return check(value, schema, "resource");
}

function isRequired(schema: Schema, methodId: string | undefined): boolean {
  return methodId !== undefined && (schema.annotations?.required ?? []).includes(methodId);
}
