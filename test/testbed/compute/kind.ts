import { invalid, notFound, notReady } from "./errors.ts";
import { linkTo, parseReference, pathOf } from "./references.ts";
import { textOf, textsOf, type Fields, type Resource } from "./resources.ts";
import type { Store } from "./store.ts";

/** How one kind of resource differs from the others. */
export interface Kind {
  /** Google's word for it in error messages. */
  readonly noun: string;
  /** What it answers where the caller gave nothing. */
  readonly defaults: Fields;
  readonly references: readonly Reference[];
  /** Checks and completes what a caller gave, after references and before defaults. */
  readonly complete?: (fields: Fields, place: Place, world: World) => Fields;
  /** Fields that follow from others or from other resources, added on every read. */
  readonly derived?: (resource: Resource, store: Store) => Fields;
}

/** A field that refers to other resources. */
export interface Reference {
  readonly field: string;
  /** The most entries that the field may hold, where it is a list. */
  readonly list?: number;
  /** Whether the API insists that what is referred to exists. */
  readonly mustExist: boolean;
}

/** Where a resource is. */
export interface Place {
  readonly path: string;
  /** `projects/P/regions/R`, or `projects/P/global`. */
  readonly scope: string;
}

/** What a kind's own rules may look at. */
export interface World {
  readonly store: Store;
  readonly project: string;
  /** The number that a new static address is given. */
  readonly staticAddress: string;
  /** Whether an insert of this path is under way. */
  readonly isPending: (path: string) => boolean;
}

/** Turns a kind's references into full links, after a look at whether they may stand. */
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

/** The paths of all that a resource refers to. */
export function referencesOf(kind: Kind | undefined, resource: Resource): readonly string[] {
  const fields: Fields = { ...resource };
  return (kind?.references ?? []).flatMap(({ field }) => textsOf(fields[field]).map(pathOf));
}
