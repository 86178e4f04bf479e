import { open } from "node:fs/promises";
import { basename, join } from "node:path";
import { KhwError } from "../../proto/errors.ts";
import { io } from "./io.ts";
import { run } from "./run.ts";

/** The archives in which releases are packed. */
export interface Archives {
  /**
   * Extracts files of a .tar.gz into an existing folder, without their paths in the archive. The files are durable when
   * the promise resolves.
   * @throws KhwError IO_FAILED with the archiver's last lines
   */
  extract(request: {
    readonly archive: string;
    /** Names in the archive: "FOLDER/FILE". */
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
          hint: "check that it is an archive of this release, and that the disk has free space",
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
