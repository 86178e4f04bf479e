import { createPrivateKey, X509Certificate } from "node:crypto";
import { link, mkdir, open, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { KhwError } from "../../proto/errors.ts";
import type { Identity } from "./management/issue.ts";
import { finishInterrupted, makeStaging } from "./staging.ts";

/** Where the management identities stand unless the user says otherwise; relative to the current folder. */
export const defaultFolder = "khw-pki";

/** A file's name in the folder, and its content. */
export type NewFiles = Readonly<Record<string, string>>;

/** The files of the identity called `name`: its key for its owner only. */
export function identityFiles(name: string, { certificate, key }: Identity): NewFiles {
  return { [`${name}-key.pem`]: key, [`${name}.pem`]: certificate };
}

/** Makes the folder, for its owner only, where it does not exist. */
export async function makeFolder(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 }).catch((cause: unknown) => {
    throw new KhwError("IO_FAILED", `${folder}: cannot be made: ${reason(cause)}`, { cause });
  });
}

/**
 * Adds the files to the folder, each of mode 0600: all of them, or none. What is there already is never touched: INVALID_ARGUMENT
 * names it. Each is written and synced under a temporary name, then linked to its own: a link, unlike a rename, cannot replace.
 * Killed between the links, it is brought to its end by `completeFolder`.
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

/** Durably, each of mode 0600. */
export async function writeWhole(staging: string, files: NewFiles): Promise<void> {
  for (const [name, content] of Object.entries(files)) await writeSynced(join(staging, name), content);
  await syncFolder(staging);
}

/** Before it is looked at what the folder has: the files that a killed run did not get to put there are there, too. @throws KhwError IO_FAILED */
export async function completeFolder(folder: string): Promise<void> {
  await finishInterrupted(folder).catch((cause: unknown) => {
    if (cause instanceof KhwError) throw cause;
    throw new KhwError("IO_FAILED", `${folder}: what was begun in it cannot be finished: ${reason(cause)}`, { cause });
  });
}

/** The management CA in the folder. Throws CREDENTIAL_INVALID where it is missing, unreadable, or no pair. */
export async function readAuthority(folder: string): Promise<Identity> {
  const authority = {
    certificate: await readAuthorityCertificate(folder),
    key: await readAuthorityFile(folder, "ca-key.pem"),
  };
  if (!isPair(authority)) {
    throw new KhwError("CREDENTIAL_INVALID", `${folder}: ca.pem and ca-key.pem are not a certificate and its key`, {
      hint: "give the folder that khw-client pki init made with --folder",
    });
  }
  return authority;
}

/** The management CA's certificate alone, in PEM: it is enough to know the CA's identities. */
export async function readAuthorityCertificate(folder: string): Promise<string> {
  return readAuthorityFile(folder, "ca.pem");
}

/** The identity called `name`, or undefined when the folder has none. */
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

/** The two are PEM, and the key is the certificate's. */
export function isPair({ certificate, key }: Identity): boolean {
  try {
    return new X509Certificate(certificate).checkPrivateKey(createPrivateKey(key));
  } catch {
    // What node:crypto says about a file that is no PEM names neither the file nor the reason; the caller names both.
    return false;
  }
}

async function readAuthorityFile(folder: string, name: string): Promise<string> {
  return readFile(join(folder, name), "utf8").catch((cause: unknown) => {
    const missing = isErrno(cause, "ENOENT");
    throw new KhwError("CREDENTIAL_INVALID", `${join(folder, name)}: ${missing ? "is missing" : reason(cause)}`, {
      hint: "khw-client pki init makes the management CA; --folder says where it is",
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

/** What was renamed in the folder stays so, whatever happens to the machine. */
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
    return new KhwError("INVALID_ARGUMENT", `${error.dest ?? folder}: exists already, and nothing is overwritten`, {
      hint: "move it away first, or give another --folder",
      cause: error,
    });
  }
  return new KhwError("IO_FAILED", `${folder}: cannot be written: ${reason(error)}`, { cause: error });
}

function isErrno(error: unknown, code: string): error is NodeJS.ErrnoException & { dest?: string } {
  return error instanceof Error && "code" in error && error.code === code;
}

function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
