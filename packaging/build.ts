/**
 * Bundles the two programs: build/agent/main.mjs, and build/client/main.mjs with the executable build/client/khw-client.
 * Beside each stand the licences of all packages that went into it.
 */
import { chmodSync, copyFileSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { build } from "esbuild";
import { lazyPackages } from "./lazy-packages.ts";
import { licencesOf } from "./licences.ts";

process.chdir(`${import.meta.dirname}/..`);

const { version }: { version: string } = JSON.parse(readFileSync("package.json", "utf8"));

const entryPoints = {
  agent: {
    main: "agent/main.ts",
    downloader: "agent/os/downloads/downloader.ts",
    "key-worker": "agent/enrolment/key-worker.ts",
  },
  client: { main: "client/main.ts" },
};

await Promise.all([bundle("agent"), bundle("client")]);

async function bundle(program: "agent" | "client"): Promise<void> {
  const folder = `build/.${program}.${process.pid}`;
  const { metafile } = await build({
    entryPoints: entryPoints[program],
    outdir: folder,
    outExtension: { ".js": ".mjs" },
    bundle: true,
    // Chunks, so that what is imported lazily is also read lazily.
    splitting: true,
    format: "esm",
    platform: "node",
    target: "node24",
    legalComments: "none",
    metafile: true,
    define: { KHW_VERSION: JSON.stringify(version) },
    // The CommonJS packages among those bundled still ask for Node's own modules by require().
    banner: { js: 'import{createRequire}from"node:module";const require=createRequire(import.meta.url);' },
    alias: { "@grpc/proto-loader": "./packaging/no-proto-loader.ts" },
    plugins: [lazyPackages],
  });
  writeFileSync(`${folder}/third-party-licences.txt`, licencesOf(Object.keys(metafile.inputs)));
  if (program === "client") {
    copyFileSync("packaging/khw-client.sh", `${folder}/khw-client`);
    chmodSync(`${folder}/khw-client`, 0o755);
    copyFileSync("packaging/khw-client.1", `${folder}/khw-client.1`);
  }
  // Whole, or what was there before: a program that runs from there never finds half of its chunks.
  mkdirSync("build", { recursive: true });
  rmSync(`build/${program}`, { recursive: true, force: true });
  renameSync(folder, `build/${program}`);
}
