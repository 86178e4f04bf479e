import { readFile } from "node:fs/promises";

/** The version, which the build sets; undefined when khw runs from source. */
declare const KHW_VERSION: string | undefined;

/** Returns this client's version, without "v". */
export async function clientVersion(): Promise<string> {
  if (typeof KHW_VERSION === "string") return KHW_VERSION;
  const manifest: { version: string } = JSON.parse(await readFile(new URL("../package.json", import.meta.url), "utf8"));
  return manifest.version;
}
