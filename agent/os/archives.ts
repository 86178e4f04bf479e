import { open } from "node:fs/promises";
import { basename, join } from "node:path";
import { KhwError } from "../../proto/errors.ts";
import { io } from "./io.ts";
import { run } from "./run.ts";

/** Extracts files from the archives in which releases are published. */
export interface Archives {
  /**
   * Extracts files from a .tar.gz archive into an existing folder, without the archive's top-level folder. The files
   * are durable when the promise resolves.
   * @throws KhwError IO_FAILED with the last lines of tar's output
   */
  extract(request: {
    readonly archive: string;
    /** The names of the files in the archive, in the form "FOLDER/FILE". */
    readonly members: readonly string[];
    readonly to: string;
    readonly signal: AbortSignal;
  }): Promise<void>;
}

const toldLines = 3;

/** Reads archives with the system's tar. */
export function createArchives(): Archives {
  return {
    extract: async ({ archive, members, to, signal }) => {
      const how = ["--extract", "--gzip", "--strip-components=1", "--no-same-owner", `--directory=${to}`];
      const { code, lines } = await run(["tar", ...how, `--file=${archive}`, "--", ...members], { signal });
      if (code !== 0) {
        throw new KhwError("IO_FAILED", `${archive} cannot be unpacked: ${lines.slice(-toldLines).join("; ")}`, {
          hint: "check that this file is an archive of this release, and that the disk has free space",
        });
      }
      for (const member of members) await sync(join(to, basename(member)));
    },
  };
}

async function sync(path: string): Promise<void> {
  await io(path, "cannot write", async () => {
    await using handle = await open(path, "r");
    await handle.sync();
  });
}
