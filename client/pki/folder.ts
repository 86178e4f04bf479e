import { createPrivateKey, X509Certificate } from "node:crypto";
import { link, mkdir, open, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { isErrno } from "../../proto/errno.ts";
import { KhwError } from "../../proto/errors.ts";
import type { Identity } from "./management/issue.ts";
import { finishInterrupted, makeStaging } from "./staging.ts";

/** The default folder of the management identities, relative to the current folder. */
export const defaultFolder = "khw-pki";

/** The files of a folder: their names and contents. */
export type NewFiles = Readonly<Record<string, string>>;

/** Returns the files of the identity called `name`. */
export function identityFiles(name: string, { certificate, key }: Identity): NewFiles {
  return { [`${name}-key.pem`]: key, [`${name}.pem`]: certificate };
}

/** Creates the folder if it does not exist. Only the owner can access a new folder. */
export async function makeFolder(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 }).catch((cause: unknown) => {
    throw new KhwError("IO_FAILED", `${folder} cannot be created: ${reason(cause)}`, { cause });
  });
}

/**
 * Adds all files or none to the folder, each with mode 0600. Never changes existing files: throws INVALID_ARGUMENT if a
 * file already exists. Writes and syncs each file under a temporary name, then links the file to its final name. Unlike
 * a rename, a link cannot replace a file. If the process is killed between the links, `completeFolder` completes the
 * work.
 */
export async function addFiles(folder: string, files: NewFiles): Promise<void> {
  const added: string[] = [];
  let staging: string | undefined;
  try {
    staging = await makeStaging(folder);
    await writeWhole(staging, files);
    for (const name of Object.keys(files)) {
      await link(join(staging, name), join(folder, name));
      added.push(join(folder, name));
    }
    await syncFolder(folder);
  } catch (error) {
    await Promise.all(added.map((path) => rm(path, { force: true })));
    throw toRefusal(folder, error);
  } finally {
    if (staging !== undefined) await rm(staging, { recursive: true, force: true });
  }
}

/** Writes the files durably, each with mode 0600. */
export async function writeWhole(staging: string, files: NewFiles): Promise<void> {
  for (const [name, content] of Object.entries(files)) await writeSynced(join(staging, name), content);
  await syncFolder(staging);
}

/**
 * Completes the changes of a command that was killed. Must be called before the folder is read, so that no file is
 * missing.
 * @throws KhwError IO_FAILED
 */
export async function completeFolder(folder: string): Promise<void> {
  await finishInterrupted(folder).catch((cause: unknown) => {
    if (cause instanceof KhwError) throw cause;
    throw new KhwError(
      "IO_FAILED",
      `${folder}: an interrupted change to its files cannot be completed: ${reason(cause)}`,
      { cause },
    );
  });
}

/**
 * Reads the management CA in the folder.
 * @throws KhwError CREDENTIAL_INVALID if the CA is missing or unreadable, or if its key and certificate do not match
 */
export async function readAuthority(folder: string): Promise<Identity> {
  const authority = {
    certificate: await readAuthorityCertificate(folder),
    key: await readAuthorityFile(folder, "ca-key.pem"),
  };
  if (!isPair(authority)) {
    throw new KhwError("CREDENTIAL_INVALID", `${folder}: ca-key.pem is not the key of ca.pem`, {
      hint: "use --folder to specify the folder that khw-client pki init created",
    });
  }
  return authority;
}

/**
 * Reads only the management CA's certificate, in PEM, which is enough to verify the certificates that the CA issued.
 * While the CA is being replaced, returns only the first certificate, which is the certificate of the CA that signs.
 */
export async function readAuthorityCertificate(folder: string): Promise<string> {
  const text = await readAuthorityFile(folder, "ca.pem");
  const [first = text, second] = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----\n?/g) ?? [];
  return second === undefined ? text : first;
}

/** Reads the identity called `name`; undefined if the folder does not contain this identity. */
export async function readIdentity(folder: string, name: string): Promise<Identity | undefined> {
  try {
    const [certificate, key] = await Promise.all([
      readFile(join(folder, `${name}.pem`), "utf8"),
      readFile(join(folder, `${name}-key.pem`), "utf8"),
    ]);
    return { certificate, key };
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw new KhwError("IO_FAILED", `${folder}: ${name}: ${reason(error)}`, { cause: error });
  }
}

/** Whether the certificate and the key are both in PEM, and belong together. */
export function isPair({ certificate, key }: Identity): boolean {
  try {
    return new X509Certificate(certificate).checkPrivateKey(createPrivateKey(key));
  } catch {
    // The error from node:crypto is not useful, because it does not name the file or the fault. The caller reports
    // both.
    return false;
  }
}

async function readAuthorityFile(folder: string, name: string): Promise<string> {
  return readFile(join(folder, name), "utf8").catch((cause: unknown) => {
    const missing = isErrno(cause, "ENOENT");
    throw new KhwError("CREDENTIAL_INVALID", `${join(folder, name)}: ${missing ? "is missing" : reason(cause)}`, {
      hint: "create the management CA with khw-client pki init, or specify its folder with --folder",
      cause,
    });
  });
}

async function writeSynced(path: string, content: string): Promise<void> {
  const file = await open(path, "wx", 0o600);
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Makes all changes to the folder's entries durable, for example renames. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function toRefusal(folder: string, error: unknown): KhwError {
  if (isErrno(error, "EEXIST")) {
    const existing = error instanceof Error && "dest" in error ? String(error.dest) : folder;
    return new KhwError("INVALID_ARGUMENT", `${existing} already exists; existing files are not overwritten`, {
      hint: "move it out of the way first, or use another --folder",
      cause: error,
    });
  }
  return new KhwError("IO_FAILED", `${folder} cannot be written: ${reason(error)}`, { cause: error });
}

function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
