import { join, relative, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import type { Plugin } from "esbuild";
import { loadX509 } from "../proto/x509.ts";

const namespace = "lazy-package";
const identifier = /^[\p{L}_$][\p{L}\p{N}_$]*$/u;
/** Node adds this name to the exports of a CommonJS package, and to no other. */
const commonJs = "module.exports";

/**
 * Gives `await import("a-package")` in a bundle the names that it has in Node, in khw's own code and inside packages.
 *
 * esbuild puts a lazily imported package into a chunk of its own, and the chunk of a CommonJS package exports nothing but
 * `default`. So the import goes to a module made here, which exports by name what Node finds in the package.
 */
export const lazyPackages: Plugin = {
  name: namespace,
  setup(build) {
    // The bundle names each module made here, so its path is relative: the same sources give the same bytes in every folder.
    const root = resolve(build.initialOptions.absWorkingDir ?? ".");
    // @peculiar/x509 loads only after what loadX509 does before; from then on Node has it.
    build.onStart(async () => void (await loadX509()));
    build.onResolve({ filter: /.*/ }, async ({ importer, kind, path, resolveDir, pluginData }) => {
      if (kind !== "dynamic-import" || pluginData === namespace) return undefined;
      const found = await build.resolve(path, { importer, kind, resolveDir, pluginData: namespace });
      const foreign = found.namespace === "file" && found.path.includes("/node_modules/");
      return foreign && !found.external && found.errors.length === 0
        ? { namespace, path: relative(root, found.path) }
        : undefined;
    });
    build.onLoad({ filter: /.*/, namespace }, async ({ path }) => {
      const exported: object = await import(pathToFileURL(join(root, path)).href);
      const names = Object.keys(exported).filter((name) => identifier.test(name));
      return { contents: contentsOf(`./${path}`, names, commonJs in exported), resolveDir: root };
    });
  },
};

function contentsOf(path: string, names: readonly string[], isCommonJs: boolean): string {
  const file = JSON.stringify(path);
  if (!isCommonJs) return `export { ${names.join(", ")} } from ${file};`;
  const named = names.filter((name) => name !== "default");
  return [
    `const exported = require(${file});`,
    "export default exported;",
    ...named.map((name) => `const $${name} = exported.${name}; export { $${name} as ${name} };`),
  ].join("\n");
}
