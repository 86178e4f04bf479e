import { dirname } from "node:path";
import type { Files } from "../os/files.ts";
import { addedPackagesFile, webPaths } from "../paths.ts";

/**
 * Records the packages that apt is about to add, so that a reset removes exactly these packages. Removing the nginx
 * package leaves some paths behind. Also records which of these paths do not exist yet. The record is durable before
 * apt starts. After an interruption, apt adds only the remaining packages, so the record keeps earlier entries.
 */
export async function recordAddedPackages(
  files: Pick<Files, "read" | "write" | "mkdir" | "stat">,
  names: readonly string[],
): Promise<void> {
  const facts = await Promise.all(webPaths.map((path) => files.stat(path)));
  const missing = webPaths.filter((_, index) => facts[index] === undefined);
  const all = new Set([...(await readRecord(files)), ...names, ...missing]);
  await files.mkdir(dirname(addedPackagesFile), 0o700);
  await files.write(addedPackagesFile, [...all].map((name) => `${name}\n`).join(""), 0o600);
}

/** Returns the packages that khw has added to the machine; empty if nginx was installed before khw. */
export async function readAddedPackages(files: Pick<Files, "read">): Promise<string[]> {
  return (await readRecord(files)).filter((name) => /^[a-z0-9][a-z0-9+.-]+$/.test(name));
}

/** Returns the paths that the nginx package has added outside of its own folders. */
export async function readAddedPaths(files: Pick<Files, "read">): Promise<string[]> {
  const lines = await readRecord(files);
  return webPaths.filter((path) => lines.includes(path));
}

async function readRecord(files: Pick<Files, "read">): Promise<string[]> {
  const text = (await files.read(addedPackagesFile))?.toString("utf8") ?? "";
  return text.split("\n").filter((line) => line !== "");
}
