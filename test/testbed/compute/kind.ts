import { invalid, notFound, notReady } from "./errors.ts";
import { linkTo, parseReference, pathOf } from "./references.ts";
import { textOf, textsOf, type Fields, type Resource } from "./resources.ts";
import type { Store } from "./store.ts";

/** The rules for a kind of resource. */
export interface Kind {
  /** The name of the kind in Google's error messages. */
  readonly noun: string;
  /** The values of fields that the caller omits. */
  readonly defaults: Fields;
  readonly references: readonly Reference[];
  /** Checks and completes the caller's fields. Called after references are resolved and before defaults are added. */
  readonly complete?: (fields: Fields, place: Place, world: World) => Fields;
  /** Returns the fields that depend on other fields or resources. They are computed on every read. */
  readonly derived?: (resource: Resource, store: Store) => Fields;
}

/** A field that refers to other resources. */
export interface Reference {
  readonly field: string;
  /** The maximum number of entries, if the field is a list. */
  readonly list?: number;
  /** Whether the API requires the referenced resource to exist. */
  readonly mustExist: boolean;
}

/** The location of a resource. */
export interface Place {
  readonly path: string;
  /** The scope: `projects/P/regions/R` or `projects/P/global`. */
  readonly scope: string;
}

/** The data that the rules for a kind can read. */
export interface World {
  readonly store: Store;
  readonly project: string;
  /** The IP of a new static address. */
  readonly staticAddress: string;
  /** Whether an insert at this path is running. */
  readonly isPending: (path: string) => boolean;
}

/** Checks the references in the fields and turns them into full links. */
export function resolveReferences(kind: Kind, fields: Fields, world: World): Fields {
  const resolve = ({ mustExist }: Reference, value: unknown, at: string): string => {
    const path = parseReference(textOf(value), world.project, at);
    if (mustExist && !world.store.get(path)) throw world.isPending(path) ? notReady(path) : notFound(path);
    return linkTo(path);
  };
  const resolveField = (reference: Reference): unknown => {
    const { field, list } = reference;
    const at = `resource.${field}`;
    if (list === undefined) return resolve(reference, fields[field], at);
    const values = textsOf(fields[field]);
    if (values.length > list) throw invalid(at, values, `At most ${list} can be given.`);
    return values.map((item, index) => resolve(reference, item, `${at}[${index}]`));
  };
  const given = kind.references.filter(({ field }) => fields[field] !== undefined);
  return { ...fields, ...Object.fromEntries(given.map((reference) => [reference.field, resolveField(reference)])) };
}

/** Returns the paths of all resources that a resource refers to. */
export function referencesOf(kind: Kind | undefined, resource: Resource): readonly string[] {
  const fields: Fields = { ...resource };
  return (kind?.references ?? []).flatMap(({ field }) => textsOf(fields[field]).map(pathOf));
}
