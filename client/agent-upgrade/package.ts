import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { KhwError, toKhwError } from "../../proto/errors.ts";
import type { AgentPackage } from "../../proto/gen/khw/agent/v1/agent.ts";
import { findDeb } from "../install/deb.ts";

/** The agent's package, as a file on this workstation. */
export interface LocalPackage extends Pick<AgentPackage, "size" | "sha256"> {
  readonly path: string;
  readonly read: () => AsyncIterable<Uint8Array>;
}

/** @throws KhwError INVALID_ARGUMENT if the file cannot be read, or is not a Debian package */
export async function openPackage(path: string): Promise<LocalPackage> {
  const { size } = await findDeb(path);
  const sum = createHash("sha256");
  const read = (): AsyncIterable<Uint8Array> => createReadStream(path, { highWaterMark: chunkBytes });
  try {
    for await (const chunk of read()) sum.update(chunk);
  } catch (cause) {
    throw new KhwError("INVALID_ARGUMENT", `--deb: ${path}: ${toKhwError(cause).message}`, { cause });
  }
  return { path, size, sha256: sum.digest("hex"), read };
}

const chunkBytes = 256 * 1024;
