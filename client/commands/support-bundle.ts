import { basename, resolve } from "node:path";
import { KhwError } from "../../proto/errors.ts";
import type { ClusterConfig } from "../config/schema.ts";
import type { Context } from "../terminal/context.ts";
import { journals } from "../config/journals.ts";
import type { Output } from "../progress/open.ts";
import { parseSince } from "../config/since.ts";
import { type ArchiveEntry, writeArchive } from "../support-bundle/archive.ts";
import { bundleEntries } from "../support-bundle/entries.ts";
import { clientVersion } from "../client-version.ts";

export interface SupportBundleOptions {
  readonly output: Output;
  /** The options; empty if not given. */
  readonly file: string;
  readonly since: string;
  /** Whether to overwrite an existing file of that name. */
  readonly force: boolean;
}

/**
 * Writes a file with data for diagnosing a problem. The file contains no secrets. Returns exit code 0 if the file is
 * written.
 */
export async function supportBundle(
  load: () => Promise<ClusterConfig>,
  context: Context,
  { output, file, since, force }: SupportBundleOptions,
): Promise<number> {
  const { signal, warn, write } = context;
  const now = new Date();
  const name = file || `khw-support-${now.toISOString().replaceAll(/[-:]|\.\d+/g, "")}.tar.gz`;
  const folder = basename(name).replace(/\.(tar\.gz|tgz)$/, "");
  if (folder === "" || folder === "." || folder === "..") {
    throw new KhwError("INVALID_ARGUMENT", "--file: no file name given", {
      hint: "specify a file name, for example: --file khw.tar.gz",
    });
  }
  const sinceUnixMillis = parseSince(since || "24h", now.getTime());
  const options = { sinceUnixMillis, journals, signal, clientVersion: await clientVersion() };
  const unreachable: string[] = [];
  const counted = async function* (entries: AsyncIterable<ArchiveEntry>): AsyncGenerator<ArchiveEntry, void> {
    for await (const entry of entries) {
      const [, node] = /^nodes\/(.+)\/unreachable\.txt$/.exec(entry.path) ?? [];
      if (node !== undefined) {
        unreachable.push(node);
        warn(`${node} does not answer: for this node, the bundle contains only the error\n`);
      }
      yield entry;
    }
  };
  const { bytes } = await writeArchive(resolve(name), counted(bundleEntries(load, options)), { folder, force, signal });
  write(
    output === "json"
      ? `${JSON.stringify({ file: resolve(name), bytes, unreachable })}\n`
      : `${name} is written (${Math.ceil(bytes / 1024)} KiB). Secrets are masked; read the file before you share it.\n`,
  );
  return 0;
}
