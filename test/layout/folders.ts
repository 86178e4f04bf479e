import { dirname, posix } from "node:path";

/** The paths of a file and of another file that it imports. */
export interface Import {
  readonly from: string;
  readonly to: string;
}

/** Returns the relative imports of a source file, including type imports and lazy imports. */
export function importsOf(path: string, text: string): Import[] {
  return [...text.matchAll(/\b(?:from|import\()\s*"(\.[^"]+)"/g)].map(([, to = ""]) => ({
    from: path,
    to: posix.join(dirname(path), to),
  }));
}

/**
 * Returns pairs of folders that import each other, with an example of an import in each direction. Pairs in which one
 * folder contains the other are ignored.
 */
export function mutualFolders(imports: readonly Import[]): string[] {
  const first = new Map<string, Import>();
  for (const one of imports) {
    const [from, to] = [dirname(one.from), dirname(one.to)];
    if (from === to || from.startsWith(`${to}/`) || to.startsWith(`${from}/`)) continue;
    const key = `${from} ${to}`;
    if (!first.has(key)) first.set(key, one);
  }
  return [...first.values()].flatMap((one) => {
    const [from, to] = [dirname(one.from), dirname(one.to)];
    const back = first.get(`${to} ${from}`);
    if (back === undefined || from > to) return [];
    return `${from} and ${to} import each other: ${describeImport(one)}, ${describeImport(back)}`;
  });
}

/** Returns an error for each source folder that directly contains more files than allowed. */
export function crowdedRoots(files: readonly string[], mostFiles: number): string[] {
  return ["agent", "client"].flatMap((root) => {
    const count = files.filter((file) => dirname(file) === root).length;
    return count > mostFiles ? `${root}/ has ${count} files at its root, and ${mostFiles} are allowed` : [];
  });
}

function describeImport({ from, to }: Import): string {
  return `${from} imports ${to}`;
}
