import { KhwError } from "../../proto/errors.ts";
import type { AgentPackage } from "../../proto/gen/khw/agent/v1/agent.ts";
import { parseSha256, refuse } from "../../proto/validate.ts";
import type { Os } from "../os/os.ts";
import { packagesFolder, receivedPackage } from "../paths.ts";

/** The maximum size of a package. Real packages are much smaller, about 28 MB. */
const maxPackageBytes = 256 * 1024 * 1024;

/** Rejects a package whose announced size or digest is invalid. */
export function parseAnnounced(announced: AgentPackage): AgentPackage {
  const { size, sha256 } = announced;
  if (size <= 0) refuse("package", "is empty");
  if (size > maxPackageBytes) refuse("package", `is ${size} bytes long; khw accepts at most ${maxPackageBytes}`);
  return { ...announced, sha256: parseSha256("package", sha256) };
}

/**
 * Stores the package, unless the same package is already stored.
 * @throws KhwError DIGEST_MISMATCH; no partial file remains
 */
export async function receivePackage(
  { size, sha256 }: AgentPackage,
  chunks: AsyncIterable<Uint8Array>,
  { files, largeFiles }: Pick<Os, "files" | "largeFiles">,
): Promise<void> {
  if ((await files.sha256(receivedPackage)) === sha256) return;
  await refuseWithoutRoom(size, files);
  await files.mkdir(packagesFolder, 0o700);
  const draft = draftFile();
  try {
    const received = await largeFiles.write(draft, chunks, size);
    if (received !== sha256) {
      throw new KhwError("DIGEST_MISMATCH", `the package has the SHA-256 ${received}, not ${sha256}`, {
        hint: "run the command again; the package was damaged in transit, or the file changed in the meantime",
      });
    }
    await files.rename(draft, receivedPackage);
  } finally {
    await files.remove(draft);
  }
}

/** Returns the path of a package that is still being received. */
export function draftFile(): string {
  return `${packagesFolder}/.received.deb.draft`;
}

/** The space that apt needs for the new package's files, which are unpacked before the old files are removed. */
const unpackedBytes = 200 * 1024 * 1024;

async function refuseWithoutRoom(size: number, files: Pick<Os["files"], "available">): Promise<void> {
  const [needed, free] = [size + unpackedBytes, await files.available(packagesFolder)];
  if (free >= needed) return;
  const [neededMb, freeMb] = [needed, free].map((bytes) => Math.ceil(bytes / 1_000_000));
  throw new KhwError(
    "IO_FAILED",
    `${packagesFolder}: the upgrade needs ${neededMb} MB, but only ${freeMb} MB are free`,
    {
      hint: "free up space on the file system that contains this folder",
    },
  );
}
