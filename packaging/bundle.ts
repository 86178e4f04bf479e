import { readFileSync } from "node:fs";
import { build, type BuildOptions, type Metafile } from "esbuild";
import { lazyPackages } from "./lazy-packages.ts";

export type Program = "agent" | "client";

const entryPoints = {
  agent: {
    main: "agent/main.ts",
    downloader: "agent/os/downloads/downloader.ts",
    "key-worker": "agent/enrolment/key-worker.ts",
  },
  client: { main: "client/main.ts" },
} as const satisfies Record<Program, Readonly<Record<string, string>>>;

const root = `${import.meta.dirname}/..`;

/**
 * Bundles one program into the folder.
 * @returns esbuild's metafile of the bundle, with paths relative to the root of the sources
 */
export async function bundle(program: Program, folder: string): Promise<Metafile> {
  const { version }: { version: string } = JSON.parse(readFileSync(`${root}/package.json`, "utf8"));
  const { metafile } = await build({
    ...options,
    ...(program === "agent" && compact),
    entryPoints: entryPoints[program],
    outdir: folder,
    define: { KHW_VERSION: JSON.stringify(version) },
  });
  return metafile;
}

/**
 * Removes indentation from the agent, because V8 keeps the source text of a running program in memory. Names and most
 * line breaks stay, for stack traces.
 */
const compact = { minifyWhitespace: true, lineLimit: 160 } as const satisfies BuildOptions;

const options = {
  absWorkingDir: root,
  outExtension: { ".js": ".mjs" },
  bundle: true,
  // Splits the bundle into chunks, so that lazily imported code is also loaded lazily.
  splitting: true,
  format: "esm",
  platform: "node",
  target: "node24",
  legalComments: "none",
  metafile: true,
  // Provides require(), because bundled CommonJS packages still load Node's own modules with it.
  banner: { js: 'import{createRequire}from"node:module";const require=createRequire(import.meta.url);' },
  alias: { "@grpc/proto-loader": "./packaging/no-proto-loader.ts", xml2js: "./packaging/no-xml2js.ts" },
  plugins: [lazyPackages],
} as const satisfies BuildOptions;
