/**
 * Serves static files over HTTP like a release mirror, with ranges, entity tags and HEAD. Used as the testbed's mirror
 * and apt repository.
 *
 * usage: node files.ts --listen ADDRESS:PORT --control SOCKET --serve /URL/PREFIX/=FOLDER ... [--tls ADDRESS:PORT --identity FOLDER]
 */
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import { join } from "node:path";
import { parseArgs } from "node:util";

import { isErrno } from "../../../proto/errno.ts";
import type { Answer } from "./answer.ts";
import { serve, serveOptions } from "./serve.ts";

interface Served {
  readonly prefix: string;
  readonly folder: string;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      ...serveOptions,
      serve: { type: "string", multiple: true, default: [] },
      tls: { type: "string" },
      identity: { type: "string" },
    },
  });
  const { listen = "", control = "", identity: folder = "" } = values;
  const tls = values.tls === undefined ? undefined : { listen: values.tls, folder };
  const served = values.serve.map((text): Served => {
    const at = text.indexOf("=");
    return { prefix: text.slice(0, at), folder: text.slice(at + 1) };
  });
  await serve({ listen, control, tls, answer: async (request) => answer(request, served) });
}

async function answer(request: IncomingMessage, served: readonly Served[]): Promise<Answer> {
  // apt encodes a plus sign in a name as %2b.
  const path = decodeURIComponent(new URL(request.url ?? "", "http://mirror").pathname);
  const mount = served.find(({ prefix }) => path.startsWith(prefix));
  const name = path.slice(mount?.prefix.length);
  if (!mount || !/^[\w+][\w.+~-]*$/.test(name)) return refusal(404);
  const found = await fileAt(join(mount.folder, name));
  if (!found) return refusal(404);

  const { file, size, tag } = found;
  const headers = { "Content-Type": "application/octet-stream", "Accept-Ranges": "bytes", ETag: tag };
  if (request.headers["if-none-match"] === tag) return { status: 304, headers, body: "" };
  const range = rangeOf(request, found);
  if (range === "none") return { status: 416, headers: { ...headers, "Content-Range": `bytes */${size}` }, body: "" };
  if (range === "all") {
    return { status: 200, headers: { ...headers, "Content-Length": `${size}` }, body: createReadStream(file) };
  }
  const { start, end } = range;
  const partial = { "Content-Range": `bytes ${start}-${end}/${size}`, "Content-Length": `${end - start + 1}` };
  return { status: 206, headers: { ...headers, ...partial }, body: createReadStream(file, { start, end }) };
}

interface Found {
  readonly file: string;
  readonly size: number;
  readonly tag: string;
}

async function fileAt(file: string): Promise<Found | undefined> {
  try {
    const { size, mtimeMs } = await stat(file);
    return { file, size, tag: `"${size.toString(16)}-${Math.floor(mtimeMs).toString(16)}"` };
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}

/**
 * Returns the requested byte range (RFC 9110, section 14), "all" for the whole file, or "none" if the range is outside
 * the file.
 */
function rangeOf(request: IncomingMessage, { size, tag }: Found): { start: number; end: number } | "all" | "none" {
  const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "") ?? [];
  const condition = request.headers["if-range"];
  if (first === undefined || (condition !== undefined && condition !== tag)) return "all";
  const start = Number(first);
  return start < size ? { start, end: Math.min(last ? Number(last) : size - 1, size - 1) } : "none";
}

function refusal(status: number): Answer {
  return { status, headers: { "Content-Type": "text/plain" }, body: `${status}\n` };
}

await main();
