/** Reads everything below a folder: the kind, mode, owner and content of each entry. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import { join } from "node:path";

import { must } from "../testbed/command.ts";

/** An entry of a tree. */
export interface Entry {
  /** The kind as `find -printf %y` prints it: `f`, `d`, `l` and so on. */
  readonly kind: string;
  /** The mode in octal. */
  readonly mode: string;
  /** Numeric owner and group: `0:0`. */
  readonly owner: string;
  /** A file's digest or a link's target; empty for other kinds. */
  readonly content: string;
  /** The first of the paths that share the file's inode; empty if the file has only one path. */
  readonly sameFileAs: string;
}

/** Entries by path. Each path is relative to the root and has no leading slash; the root itself is the empty path. */
export type Tree = ReadonlyMap<string, Entry>;

/** Digests by inode, time of change and size, so that unchanged files are not read again. */
export type Digests = Map<string, string>;

interface Found extends Omit<Entry, "content" | "sameFileAs"> {
  readonly path: string;
  readonly size: string;
  readonly target: string;
  readonly inode: string;
  readonly names: number;
  readonly changedAt: string;
}

const fields = ["%P", "%y", "%m", "%U:%G", "%s", "%l", "%i", "%n", "%C@"];

/** Reads the tree below the root. Skips other file systems that are mounted there. */
export async function readTree(root: string, digests: Digests): Promise<Tree> {
  const printed = await must(["find", root, "-xdev", "-printf", fields.map((field) => `${field}\\0`).join("")]);
  const found = parse(printed.split("\0"));
  const first = new Map<string, string>();
  for (const { kind, inode, path, names } of found.toSorted((a, b) => (a.path < b.path ? -1 : 1)))
    if (kind === "f" && names > 1 && !first.has(inode)) first.set(inode, path);
  const tree = new Map<string, Entry>();
  for (const { path, kind, mode, owner, target, ...rest } of found) {
    const content = kind === "f" ? await digest(join(root, path), { rest, digests }) : target;
    tree.set(path, { kind, mode, owner, content, sameFileAs: kind === "f" ? (first.get(rest.inode) ?? "") : "" });
  }
  return tree;
}

function parse(values: readonly string[]): Found[] {
  const found: Found[] = [];
  for (let index = 0; index + fields.length < values.length; index += fields.length) {
    const [
      path = "",
      kind = "",
      mode = "",
      owner = "",
      size = "",
      target = "",
      inode = "",
      names = "",
      changedAt = "",
    ] = values.slice(index, index + fields.length);
    found.push({ path, kind, mode, owner, size, target, inode, names: Number(names), changedAt });
  }
  return found;
}

async function digest(
  path: string,
  {
    rest: { inode, changedAt, size },
    digests,
  }: { readonly rest: Pick<Found, "inode" | "changedAt" | "size">; readonly digests: Digests },
): Promise<string> {
  const key = `${inode} ${changedAt} ${size}`;
  const known = digests.get(key);
  if (known !== undefined) return known;
  const hash = createHash("sha256");
  await pipeline(createReadStream(path), hash);
  const made = `sha256:${hash.digest("hex")}`;
  digests.set(key, made);
  return made;
}

/** Returns the tree's entries, with the folder prepended to each path. */
export function below(folder: string, tree: Tree): [path: string, entry: Entry][] {
  return [...tree].map(([path, entry]) => [join(folder, path), entry]);
}
