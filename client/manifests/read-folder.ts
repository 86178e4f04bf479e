import { constants } from "node:fs";
import { open, readdir, realpath } from "node:fs/promises";
import { extname, join, sep } from "node:path";
import { isErrno } from "../../proto/errno.ts";
import { KhwError } from "../../proto/errors.ts";
import { show } from "../../proto/validate.ts";

/** A file in the folder of manifests. */
export interface ManifestFile {
  readonly path: string;
  readonly text: string;
}

/** The limits on the size of a file, on the combined size of all files, and on the number of files. */
const maxFileBytes = 4 * 1024 * 1024;
const maxTotalBytes = 16 * 1024 * 1024;
const maxFiles = 500;
const extensions: ReadonlySet<string> = new Set([".yaml", ".yml", ".json"]);

/**
 * Reads the YAML and JSON files of the folder, sorted by name. Ignores other files, and files and folders whose names
 * start with a dot.
 * @throws KhwError CONFIG_INVALID if a file cannot be read, is too large, or is outside the folder
 */
export async function readFolder(folder: string): Promise<ManifestFile[]> {
  const root = await realpath(folder).catch((cause: unknown) => unreadable(folder, cause));
  const entries = await readdir(root, { withFileTypes: true }).catch((cause: unknown) => unreadable(folder, cause));
  const seen = entries.filter(({ name }) => !name.startsWith("."));
  const inner = seen.find((entry) => entry.isDirectory());
  if (inner !== undefined)
    invalid(join(folder, inner.name), "khw does not read folders inside the folder", "move its files into the folder");
  const names = seen.map(({ name }) => name).filter((name) => extensions.has(extname(name)));
  if (names.length > maxFiles) invalid(folder, `there are ${names.length} files; khw accepts at most ${maxFiles}`);
  const files: ManifestFile[] = [];
  let total = 0;
  for (const name of names.toSorted()) {
    const bytes = await readInside(root, join(folder, name));
    total += bytes.length;
    if (total > maxTotalBytes) invalid(folder, `the combined size of the files exceeds ${maxTotalBytes} bytes`);
    files.push({ path: join(folder, name), text: decode(join(folder, name), bytes) });
  }
  return files;
}

/** Reads a regular file. A symbolic link must point to a file in the same folder. */
async function readInside(root: string, path: string): Promise<Buffer> {
  try {
    const target = await realpath(path);
    if (!target.startsWith(`${root}${sep}`))
      invalid(path, `the link points to ${show(target)}, outside the folder`, "copy the file into the folder");
    // Without O_NONBLOCK, opening a named pipe would wait for a writer.
    await using handle = await open(target, constants.O_RDONLY | constants.O_NONBLOCK);
    const found = await handle.stat();
    if (!found.isFile()) invalid(path, "the file is not a regular file");
    if (found.size > maxFileBytes)
      invalid(path, `the file has ${found.size} bytes; khw accepts at most ${maxFileBytes}`, "split the file");
    return await handle.readFile();
  } catch (error) {
    if (error instanceof KhwError) throw error;
    return unreadable(path, error);
  }
}

function decode(path: string, bytes: Buffer): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return invalid(path, "the file is not UTF-8");
  }
}

function unreadable(path: string, cause: unknown): never {
  const reason = cause instanceof Error ? cause.message : String(cause);
  throw new KhwError("CONFIG_INVALID", `manifests: ${path} cannot be read: ${reason}`, {
    hint: isErrno(cause, "ENOENT")
      ? "correct manifests in khw.yaml; a relative path starts at the folder of khw.yaml"
      : "correct the file, or its permissions",
    cause,
  });
}

function invalid(path: string, message: string, hint?: string): never {
  throw new KhwError("CONFIG_INVALID", `manifests: ${path}: ${message}`, { hint });
}
