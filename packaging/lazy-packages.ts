import { join, relative, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import type { Plugin } from "esbuild";
import { loadX509 } from "../proto/x509.ts";

const namespace = "lazy-package";
const identifier = /^[\p{L}_$][\p{L}\p{N}_$]*$/u;
/** Node adds this name only to the exports of CommonJS packages. */
const commonJs = "module.exports";

/**
 * Makes `await import("a-package")` provide the same names in a bundle as in Node, both in khw's code and in packages.
 *
 * esbuild puts a lazily imported package into its own chunk, and the chunk of a CommonJS package exports only
 * `default`. The import is therefore redirected to a generated module, which has the same named exports that Node finds
 * in the package.
 */
export const lazyPackages: Plugin = {
  name: namespace,
  setup(build) {
    // The bundle contains the name of each generated module, so the path is relative. The same sources then result in
    // the same bytes in every folder.
    const root = resolve(build.initialOptions.absWorkingDir ?? ".");
    // @peculiar/x509 cannot be loaded without the preparation in loadX509. After this call, it is in Node's module
    // cache.
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
