import { collectionOf } from "./references.ts";
import type { Collections, Resource } from "./resources.ts";

/** A resource with its path, for example `projects/P/regions/R/addresses/A`. */
export type Entry<T extends Resource> = readonly [path: string, resource: T];

/**
 * Stores all resources. The types of their fields are reliable, because every request body and every response is
 * checked against the schema.
 */
export class Store {
  readonly #resources = new Map<string, Resource>();
  readonly #listeners = new Set<() => void>();

  get(path: string): Resource | undefined {
    return this.#resources.get(path);
  }

  /** Returns the resource at a path in a known collection. */
  find<C extends keyof Collections>(collection: C, path: string): Collections[C] | undefined {
    return this.all<C>(collection).find(([other]) => other === path)?.[1];
  }

  /** Returns every resource in a collection with its path, sorted by path. */
  all<C extends keyof Collections>(collection: C): readonly Entry<Collections[C]>[];
  all(collection: string): readonly Entry<Resource>[];
  all(collection: string): readonly Entry<Resource>[] {
    return this.entries().filter(([path]) => collectionOf(path) === collection);
  }

  /** Returns every resource with its path, sorted by path. */
  entries(): readonly Entry<Resource>[] {
    return [...this.#resources].toSorted(([a], [b]) => (a < b ? -1 : 1));
  }

  set(path: string, resource: Resource): void {
    this.#resources.set(path, resource);
    this.#changed();
  }

  delete(path: string): void {
    if (this.#resources.delete(path)) this.#changed();
  }

  clear(): void {
    this.#resources.clear();
    this.#changed();
  }

  /** Calls `listener` after every change, until the signal aborts. */
  onChange(listener: () => void, signal: AbortSignal): void {
    this.#listeners.add(listener);
    signal.addEventListener("abort", () => this.#listeners.delete(listener), { once: true });
  }

  #changed(): void {
    for (const listener of this.#listeners) listener();
  }
}
