import { open } from "node:fs/promises";
import { basename } from "node:path";
import { KhwError } from "../../proto/errors.ts";

/** The .deb on the workstation. */
export interface Deb {
  readonly path: string;
  readonly name: string;
  /** The file's size in bytes. */
  readonly size: number;
}

/** The first bytes of every .deb. A .deb is an ar archive whose first member is debian-binary. */
const start = "!<arch>\ndebian-binary";

/**
 * Finds the file and checks that it is a .deb. Some workstations have no dpkg. Therefore, the node's dpkg reads the
 * package name and the architecture before anything changes.
 */
export async function findDeb(path: string): Promise<Deb> {
  const file = await open(path).catch((cause: unknown) => {
    throw new KhwError("INVALID_ARGUMENT", `--deb: ${path} cannot be opened: ${String(cause)}`, {
      hint: "build the package with npm run deb, which writes to build/deb",
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
  throw new KhwError("INVALID_ARGUMENT", `--deb: ${path} is not a Debian package`);
}
