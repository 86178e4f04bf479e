import { clientVersion } from "../client-version.ts";
import type { Context } from "../terminal/context.ts";

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
