import { timestamp } from "./clock.ts";
import { resolveReferences, type World } from "./kind.ts";
import { kinds } from "./kinds.ts";
import { collectionOf, linkTo, nameOf, scopeOf } from "./references.ts";
import { textOf, type Fields, type Resource } from "./resources.ts";

/** The data for completing a new resource, in addition to the data that the rules for each kind read. */
export interface CompletionContext extends World {
  readonly nextId: () => string;
  /** Returns the `kind` of a collection's resources, for example `compute#address`. */
  readonly kindOf: (collection: string) => string;
}

/**
 * Creates a complete resource from a caller's fields. Resolves references, then adds defaults and the fields that the
 * API itself sets.
 */
export function completeResource(path: string, given: Fields, context: CompletionContext): Resource {
  const [collection, scope] = [collectionOf(path), scopeOf(path)];
  const own = {
    kind: context.kindOf(collection),
    id: textOf(given.id ?? context.nextId()),
    creationTimestamp: textOf(given.creationTimestamp ?? timestamp()),
    name: nameOf(path),
    selfLink: linkTo(path),
    ...(collectionOf(scope) === "regions" && { region: linkTo(scope) }),
  };
  const kind = kinds[collection];
  if (!kind) return { ...given, ...own };
  const resolved = resolveReferences(kind, given, context);
  const fields = { ...kind.defaults, ...(kind.complete?.(resolved, { path, scope }, context) ?? resolved) };
  return { ...Object.fromEntries(Object.entries(fields).filter(([, value]) => !isEmptyList(value))), ...own };
}

/** Google's API omits empty lists. */
function isEmptyList(value: unknown): boolean {
  return Array.isArray(value) && value.length === 0;
}
