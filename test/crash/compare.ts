/** Compares two trees, except for the paths that a list of exceptions names. */
import type { Entry, Tree } from "./tree.ts";

/** Paths that the comparison fully or partly ignores, and the reason. */
export interface Exception {
  /** Matches the whole path, without the leading slash. */
  readonly path: RegExp;
  /** With `content`, only the kind, mode and owner are compared. With `presence`, nothing is compared. */
  readonly free: "content" | "presence";
  readonly why: string;
}

/**
 * A path that differs, with its entries in the undisturbed tree and in the other tree. If a tree lacks the path, its
 * entry is undefined.
 */
export interface Difference {
  readonly path: string;
  readonly wanted: Entry | undefined;
  readonly found: Entry | undefined;
}

/** Returns all differences, sorted by path. */
export function compareTrees(wanted: Tree, found: Tree, exceptions: readonly Exception[] = []): Difference[] {
  const paths = [...new Set([...wanted.keys(), ...found.keys()])].toSorted();
  return paths.flatMap((path) => {
    const fitting = exceptions.filter((exception) => exception.path.test(path));
    if (fitting.some(({ free }) => free === "presence")) return [];
    const [a, b] = [wanted.get(path), found.get(path)];
    const contentIsFree = fitting.length > 0;
    return a !== undefined && b !== undefined && isSame(a, b, contentIsFree) ? [] : [{ path, wanted: a, found: b }];
  });
}

/**
 * Formats the differences like a unified diff: the undisturbed machine's entries with a minus, this machine's entries
 * with a plus.
 */
export function formatDifferences(differences: readonly Difference[]): string {
  return differences
    .map(({ path, wanted, found }) => `@@ /${path}\n-${formatEntry(wanted)}\n+${formatEntry(found)}\n`)
    .join("");
}

function isSame(a: Entry, b: Entry, contentIsFree: boolean): boolean {
  if (a.kind !== b.kind || a.mode !== b.mode || a.owner !== b.owner) return false;
  return contentIsFree || (a.content === b.content && a.sameFileAs === b.sameFileAs);
}

function formatEntry(entry: Entry | undefined): string {
  if (entry === undefined) return "not there";
  const { kind, mode, owner, content, sameFileAs } = entry;
  return [kind, mode, owner, content, ...(sameFileAs === "" ? [] : [`same file as /${sameFileAs}`])]
    .join(" ")
    .trimEnd();
}
