import { completeResource, type CompletionContext } from "./complete.ts";
import { alreadyExists, ApiError, inUse, invalid, notEmulated, notFound } from "./errors.ts";
import { referencesOf, type Kind } from "./kind.ts";
import { kinds } from "./kinds.ts";
import { withMetadata } from "./metadata.ts";
import type { Mutation, Operations } from "./operations.ts";
import { collectionOf, linkTo, parseReference, pathOf } from "./references.ts";
import { fieldsOf, textOf, textsOf, type Fields, type Resource } from "./resources.ts";

/** The context of mutations. */
export interface MutationContext extends CompletionContext {
  readonly operations: Operations;
  /** For this many milliseconds after a deletion, the resources that the deleted resource referenced are not ready. */
  readonly settleMillis: number;
}

/** A request to change a resource. The body has passed the schema check. */
export interface Change {
  readonly verb: string;
  /** The path of the resource, or of the collection for an insert. */
  readonly path: string;
  readonly body: Fields;
}

type Make = (change: Change, context: MutationContext, kind: Kind) => Mutation;

/** The verbs that change a resource. */
const verbs: Readonly<Record<string, Make>> = {
  insert,
  delete: remove,
  patch: modify((old, { body }) => ({ ...old, ...body })),
  update: modify(({ id, creationTimestamp }, { body }) => ({ ...body, id, creationTimestamp })),
  addInstance: modifyList("instances", "instance", union),
  removeInstance: modifyList("instances", "instance", difference),
  addHealthCheck: modifyList("healthChecks", "healthCheck", union),
  removeHealthCheck: modifyList("healthChecks", "healthCheck", difference),
  setMetadata: modify((old, { body }) => withMetadata(old, body)),
  setTarget: modify((old, { body: { target } }) => ({ ...old, target })),
};

/** Returns the mutation that the request describes. */
export function mutationOf(collection: string, change: Change, context: MutationContext): Mutation {
  const [kind, make] = [kinds[collection], verbs[change.verb]];
  if (!kind || !make) throw notEmulated(`${collection}.${change.verb}`);
  return make(change, context, kind);
}

function insert({ verb, path: collectionPath, body }: Change, context: MutationContext): Mutation {
  const { name, id: _id, creationTimestamp: _time, ...given } = body;
  if (typeof name !== "string") throw new ApiError(400, "required", "Required field 'resource.name' not specified");
  const target = `${collectionPath}/${name}`;
  const plan = () => {
    if (context.store.get(target) || context.isPending(target)) throw alreadyExists(target);
    context.operations.assertReady(target);
    const resource = completeResource(target, given, context);
    return () => context.store.set(target, resource);
  };
  return { target, verb, plan };
}

function remove({ verb, path: target }: Change, context: MutationContext, kind: Kind): Mutation {
  const plan = () => {
    const resource = readyResource(target, context);
    const user = userOf(target, resource, context);
    if (user !== undefined) throw inUse(kind.noun, target, user);
    return () => {
      context.store.delete(target);
      for (const used of referencesOf(kind, resource)) context.operations.settle(used, context.settleMillis);
    };
  };
  return { target, verb, plan };
}

/** Creates a verb that computes a resource's new fields from its old fields and the request body. */
function modify(merge: (old: Fields, change: Change, context: MutationContext) => Fields): Make {
  return (change, context) => {
    const plan = () => {
      const fields = merge({ ...readyResource(change.path, context) }, change, context);
      const resource = completeResource(change.path, fields, context);
      return () => context.store.set(change.path, resource);
    };
    return { target: change.path, verb: change.verb, plan };
  };
}

type Merge = (old: readonly string[], given: readonly string[], at: string) => readonly string[];

/**
 * Creates a verb that adds references to a list or removes them. The request body is `{ FIELD: [{ ENTRY: reference }]
 * }`.
 */
function modifyList(field: "instances" | "healthChecks", entry: string, merge: Merge): Make {
  return modify((old, { body }, { project }) => {
    const given = fieldsOf(body[field]).map((item, index) =>
      linkTo(parseReference(textOf(item[entry] ?? ""), project, `resource.${field}[${index}].${entry}`)),
    );
    return { ...old, [field]: merge(textsOf(old[field]), given, `resource.${field}`) };
  });
}

function union(old: readonly string[], given: readonly string[]): readonly string[] {
  return [...new Set([...old, ...given])];
}

function difference(old: readonly string[], given: readonly string[], at: string): readonly string[] {
  const stranger = given.find((link) => !old.includes(link));
  if (stranger !== undefined) throw invalid(at, stranger, "It is not a member of the target pool.");
  return old.filter((link) => !given.includes(link));
}

function readyResource(path: string, { store, operations }: MutationContext): Resource {
  operations.assertReady(path);
  const resource = store.get(path);
  if (!resource) throw notFound(path);
  return resource;
}

/** Returns the path of a resource that refers to this resource, if there is one. */
function userOf(path: string, resource: Resource, { store }: MutationContext): string | undefined {
  const [user] = textsOf(kinds[collectionOf(path)]?.derived?.(resource, store).users).map(pathOf);
  return (
    user ?? store.entries().find(([other, held]) => referencesOf(kinds[collectionOf(other)], held).includes(path))?.[0]
  );
}
