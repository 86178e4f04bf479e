import { readFile } from "node:fs/promises";
import type { Context } from "../terminal/context.ts";

/** Set by the build; undefined if the sources are run. */
declare const KHW_VERSION: string | undefined;

/** Returns this client's version, without "v". */
export async function clientVersion(): Promise<string> {
  if (typeof KHW_VERSION === "string") return KHW_VERSION;
  const manifest: { version: string } = JSON.parse(
    await readFile(new URL("../../package.json", import.meta.url), "utf8"),
  );
  return manifest.version;
}

/** Prints the versions of the client and of its runtime. */
export async function version(context: Context, { output }: { readonly output: "text" | "json" }): Promise<number> {
  const versions = {
    client: await clientVersion(),
    node: process.versions.node,
    platform: `${process.platform}-${process.arch}`,
  };
  context.write(
    output === "json"
      ? `${JSON.stringify(versions)}\n`
      : `khw-client ${versions.client}\nNode ${versions.node}, ${versions.platform}\n`,
  );
  return 0;
}
