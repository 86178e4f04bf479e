import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import t from "tap";
import { bundle } from "../../../packaging/bundle.ts";
import { loadX509 } from "../../../proto/x509.ts";

const root = resolve(import.meta.dirname, "../../..");

// Without this call, @peculiar/x509 cannot be loaded.
await loadX509();

for (const program of ["agent", "client"] as const) {
  t.test(`every package that the ${program} imports lazily has the same exports in its chunk as in Node`, async (t) => {
    const { inputs, outputs } = await bundle(program, t.testdir({}));
    const lazy = new Set(
      Object.values(inputs)
        .flatMap(({ imports }) => imports)
        .filter(({ kind, external, path }) => kind === "dynamic-import" && !external && path.includes("node_modules/"))
        .map(({ path }) => path),
    );
    t.ok(lazy.size > 0);
    for (const output of Object.keys(outputs)) {
      const text = await readFile(join(root, output), "utf8");
      t.notOk(text.includes(resolve(root)), `${output} does not name its build folder`);
    }
    for (const path of lazy) {
      const [chunk] = Object.entries(outputs).find(([, { entryPoint }]) => entryPoint === path) ?? [];
      const source: object = await import(pathToFileURL(resolve(root, path.replace(/^lazy-package:/, ""))).href);
      const bundled: object = await import(pathToFileURL(join(root, chunk ?? "no chunk")).href);
      t.strictSame(kinds(bundled), kinds(source), path);
    }
  });
}

/**
 * Returns the exported names with the type of each value. Skips `module.exports`: Node exports a whole CommonJS
 * package under this name, but the bundle does not.
 */
function kinds(exported: object): Readonly<Record<string, string>> {
  const named = Object.entries(exported).filter(([name]) => name !== "module.exports");
  return Object.fromEntries(named.map(([name, value]) => [name, typeof value]));
}
