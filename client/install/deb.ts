import { open } from "node:fs/promises";
import { basename } from "node:path";
import { KhwError } from "../../proto/errors.ts";

/** The .deb on the workstation. */
export interface Deb {
  readonly path: string;
  readonly name: string;
  /** In bytes. */
  readonly size: number;
}

/** How every .deb begins: an ar archive whose first member is the format's version. */
const start = "!<arch>\ndebian-binary";

/**
 * Finds the .deb and sees that it is one. Which package it holds, and for which architecture, the node's own dpkg says before
 * anything is touched: not every workstation has one.
 */
export async function findDeb(path: string): Promise<Deb> {
  const file = await open(path).catch((cause: unknown) => {
    throw new KhwError("INVALID_ARGUMENT", `--deb: ${path} cannot be opened: ${String(cause)}`, {
      hint: "npm run deb builds it into build/deb",
      cause,
    });
  });
  try {
    const head = Buffer.alloc(start.length);
    const { size } = await file.stat();
    await file.read(head, 0, head.length, 0);
    if (head.toString("latin1") === start) return { path, name: basename(path), size };
  } finally {
    await file.close();
  }
  throw new KhwError("INVALID_ARGUMENT", `--deb: ${path} is no Debian package`);
}
