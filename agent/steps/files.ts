import { createHash } from "node:crypto";
import { dirname } from "node:path";
import type { Step, TextDifference } from "../../proto/step.ts";
import { KhwError } from "../../proto/errors.ts";
import type { FileFacts, Files } from "../os/files.ts";
import type { Os } from "../os/os.ts";

/** Creates a folder with the given mode, owned by root. */
export function folder(path: string, mode: number, needs: readonly string[] = ["identity"]): Step<Os> {
  return {
    id: `folder${path}`,
    title: `${path} exists, with mode ${octal(mode)}, and belongs to root`,
    needs,
    watches: [path],
    check: async ({ files }) => {
      const summary = await folderDrift(files, path, mode);
      return summary === null ? null : { summary };
    },
    apply: async ({ files }) => {
      const { kind } = (await files.stat(path)) ?? {};
      if (kind !== undefined && kind !== "directory") {
        throw new KhwError("IO_FAILED", `${path} is a ${kind}, not a folder`, {
          hint: `move the ${kind} to another place, then run the command again; if the folder should be on another disk, mount the disk there`,
        });
      }
      await files.mkdir(path, mode);
      await files.chown(path, 0, 0);
      await files.chmod(path, mode);
    },
  };
}

/** Repairs the mode and owner of a folder that other programs create. Does nothing if the folder does not exist. */
export function presentFolder(path: string, mode: number): Step<Os> {
  const step = folder(path, mode);
  return {
    ...step,
    title: `${path} has mode ${octal(mode)} and belongs to root`,
    // The folder is not watched. The agent itself often writes there, and each write would trigger a check.
    watches: [],
    check: async (os, signal) => ((await os.files.stat(path)) === undefined ? null : step.check(os, signal)),
  };
}

async function folderDrift(files: Files, path: string, mode: number): Promise<string | null> {
  const facts = await files.stat(path);
  if (facts === undefined) return "the folder does not exist";
  return facts.kind === "directory" ? attributesDrift(facts, mode) : `is a ${facts.kind}, not a folder`;
}

export interface WantedFile {
  readonly id: string;
  readonly path: string;
  readonly mode: number;
  readonly sha256: string;
  /** The content; absent if the steps are only planned. */
  readonly content: string | Uint8Array | undefined;
  readonly needs: readonly string[];
}

/** Writes a file with exactly this content and mode, owned by root. */
export function file({ id, path, mode, sha256, content, needs }: WantedFile): Step<Os> {
  return {
    id,
    title: `${path} is up to date`,
    needs,
    watches: [dirname(path)],
    check: async ({ files }) => {
      const summary = await fileDrift(files, { path, mode, sha256 });
      return summary === null ? null : { summary };
    },
    apply: async ({ files }) => {
      if ((await files.sha256(path)) !== sha256 || (await files.stat(path))?.kind !== "file") {
        if (content === undefined) throw new TypeError(`${id} was applied without its content`);
        await files.write(path, content, mode);
      }
      await files.chown(path, 0, 0);
      await files.chmod(path, mode);
    },
  };
}

/** Writes a text file that contains no secrets, so that its content can be shown in a diff. */
export function textFile(wanted: Omit<WantedFile, "sha256" | "content"> & { readonly content: string }): Step<Os> {
  const { path, content } = wanted;
  return {
    ...file({ ...wanted, sha256: sha256(content) }),
    text: ({ files }) => textDifference(files, path, content),
  };
}

/** This limit exceeds the size of every text file that khw writes, but a text of this size fits into one response. */
const maxTextBytes = 128 * 1024;

/** Reads the current text for a comparison. Does not follow links, because a link could point to any file. */
export async function textDifference(files: Files, path: string, wanted: string): Promise<TextDifference> {
  const regular = (await files.stat(path))?.kind === "file";
  const found = regular ? await files.read(path) : undefined;
  return { path, found: found?.subarray(0, maxTextBytes).toString("utf8"), wanted };
}

/** Returns the difference in a file's kind, content, mode or owner; null if there is no difference. */
export async function fileDrift(
  files: Files,
  { path, mode, sha256: wanted }: { readonly path: string; readonly mode: number; readonly sha256: string },
): Promise<string | null> {
  const facts = await files.stat(path);
  if (facts === undefined) return "is missing";
  if (facts.kind !== "file") return `is a ${facts.kind}, not a file`;
  if ((await files.sha256(path)) !== wanted) return "its content differs";
  return attributesDrift(facts, mode);
}

function attributesDrift({ mode, uid, gid }: FileFacts, wanted: number): string | null {
  if (mode !== wanted) return `its mode is ${octal(mode)}, not ${octal(wanted)}`;
  return uid === 0 && gid === 0 ? null : `it belongs to ${uid}:${gid}, not to root`;
}

/** Removes the file or link at this path. */
export function absent({ id, path, needs }: Pick<WantedFile, "id" | "path" | "needs">): Step<Os> {
  return {
    id,
    title: `${path} does not exist`,
    needs,
    watches: [dirname(path)],
    check: async ({ files }) => ((await files.stat(path)) === undefined ? null : { summary: "it exists" }),
    apply: async ({ files }) => files.remove(path),
  };
}

/** Creates a symbolic link to the target. */
export function link(wanted: {
  readonly id: string;
  readonly path: string;
  readonly target: string;
  readonly needs: readonly string[];
}): Step<Os> {
  const { id, path, target, needs } = wanted;
  return {
    id,
    title: `${path} points to ${target}`,
    needs,
    watches: [dirname(path)],
    check: async ({ files }) => {
      const facts = await files.stat(path);
      if (facts === undefined) return { summary: "is missing" };
      return facts.target === target ? null : { summary: `points to ${facts.target ?? "nothing: it is not a link"}` };
    },
    apply: async ({ files }) => files.symlink(target, path),
  };
}

export function sha256(content: string | Uint8Array): string {
  return createHash("sha256").update(content).digest("hex");
}

export function octal(mode: number): string {
  return mode.toString(8).padStart(4, "0");
}
