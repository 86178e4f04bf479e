import { invalid } from "./errors.ts";
import { kinds } from "./kinds.ts";
import { collectionOf, linkTo, scopeOf } from "./references.ts";
import { textOf, type Fields, type Resource } from "./resources.ts";
import type { Store } from "./store.ts";

/** The parameters of a list request. */
export interface ListQuery {
  readonly filter?: string;
  /** The maximum number of items per page. */
  readonly maxResults: number;
  /** The number of items on earlier pages, as returned in the previous `nextPageToken`. */
  readonly pageToken?: string;
}

/** Returns a resource as the API returns it, including the fields that depend on other resources. */
export function view(path: string, resource: Resource, store: Store): Fields {
  return { ...resource, ...kinds[collectionOf(path)]?.derived?.(resource, store) };
}

/** Returns the resources in the collection at this path, for example `projects/P/regions/R/addresses`. */
export function itemsOf(collectionPath: string, store: Store): readonly Fields[] {
  const collection = collectionPath.slice(collectionPath.lastIndexOf("/") + 1);
  return store
    .all(collection)
    .filter(([path]) => path.startsWith(`${collectionPath}/`))
    .map(([path, resource]) => view(path, resource, store));
}

/** Returns a page of a list. */
export function listOf(items: readonly Fields[], collectionPath: string, query: ListQuery): Fields {
  const wanted = items.filter(makeFilter(query.filter));
  const start = Number(query.pageToken ?? 0);
  const page = wanted.slice(start, start + query.maxResults);
  const next = start + page.length;
  return {
    id: collectionPath,
    selfLink: linkTo(collectionPath),
    ...(page.length > 0 && { items: page }),
    ...(next < wanted.length && { nextPageToken: String(next) }),
  };
}

/**
 * Returns the resources of a collection in all scopes, as `aggregatedList` does. There is an entry per scope, with a
 * warning if the scope is empty.
 */
export function aggregatedListOf(collection: string, project: string, store: Store, query: ListQuery): Fields {
  const matches = makeFilter(query.filter);
  const all = store.all(collection).map(([path, resource]) => [path, view(path, resource, store)] as const);
  const scopeKind = collection === "instances" ? "zones" : "regions";
  const scopes = store.all(scopeKind).map(([path]) => path);
  const entries = scopes.map((scope) => {
    const items = all.filter(([path, item]) => scopeOf(path) === scope && matches(item)).map(([, item]) => item);
    const name = scope.slice(`projects/${project}/`.length);
    return [name, items.length > 0 ? { [collection]: items } : { warning: noResults(name) }];
  });
  const path = `projects/${project}/aggregated/${collection}`;
  return { id: path, selfLink: linkTo(path), items: Object.fromEntries(entries) };
}

function noResults(scope: string): Fields {
  const message = `There are no results for scope '${scope}' on this page.`;
  return { code: "NO_RESULTS_ON_PAGE", message, data: [{ key: "scope", value: scope }] };
}

/**
 * Parses the list filters that khw and gcloud send: `name = "x"`, `name eq x`, `name != x`, `name eq "(a|b)"`. They can
 * be joined by AND, or stand next to each other in parentheses. `eq` and `ne` match a regular expression against the
 * whole value; `=` and `!=` compare with a literal.
 */
function makeFilter(filter: string | undefined): (item: Fields) => boolean {
  if (filter === undefined || filter.trim() === "") return () => true;
  const term = /\(?\s*([A-Za-z.]+)\s*(!=|=|\beq\b|\bne\b)\s*("[^"]*"|\([^)]*\)|[^\s()]+)\s*\)?\s*(?:AND\b)?/gy;
  const tests: ((item: Fields) => boolean)[] = [];
  while (term.lastIndex < filter.trimEnd().length) {
    const [, field = "", operator = "", quoted = ""] = term.exec(filter) ?? [];
    if (field === "") throw invalid("filter", filter, "Invalid list filter expression.");
    const wanted = quoted.replace(/^"(.*)"$/, "$1");
    const isRegex = operator === "eq" || operator === "ne";
    const matches = (value: string) => (isRegex ? new RegExp(`^(?:${wanted})$`).test(value) : value === wanted);
    const negated = operator === "!=" || operator === "ne";
    tests.push((item) => matches(textOf(item[field] ?? "")) !== negated);
  }
  return (item) => tests.every((test) => test(item));
}
