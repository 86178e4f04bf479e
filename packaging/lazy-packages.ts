import type { Plugin } from "esbuild";
import { loadX509 } from "../proto/x509.ts";

const namespace = "lazy-package";

/**
 * Gives `await import("a-package")` in a bundle the names that it has in Node.
 *
 * esbuild puts a lazily imported package into a chunk of its own, and the chunk of a CommonJS package exports nothing but
 * `default`. So the import goes to a module made here, which exports by name what Node finds in the package.
 */
export const lazyPackages: Plugin = {
  name: namespace,
  setup(build) {
    // This package loads only after what loadX509 does before; from then on Node has it.
    build.onStart(async () => void (await loadX509()));
    build.onResolve({ filter: /^[^./]/ }, ({ importer, kind, path, resolveDir }) =>
      kind === "dynamic-import" && !path.startsWith("node:") && !importer.includes("/node_modules/")
        ? { namespace, path, pluginData: { resolveDir } }
        : undefined,
    );
    build.onLoad({ filter: /.*/, namespace }, async ({ path, pluginData: { resolveDir } }) => {
      const exported: object = await import(path);
      const names = Object.keys(exported).filter((name) => /^[\p{L}_$][\p{L}\p{N}_$]*$/u.test(name));
      return { contents: `export { ${names.join(", ")} } from ${JSON.stringify(path)};`, resolveDir };
    });
  },
};
