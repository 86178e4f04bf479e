import { createPrivateKey, generateKeyPairSync, type KeyObject, randomUUID, webcrypto } from "node:crypto";
import { link, mkdir, open, readdir, readFile, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { KhwError } from "../../proto/errors.ts";
import { loadX509 } from "../../proto/x509.ts";
import { syncFolder } from "../os/durable.ts";
import { io, isErrno, orAbsent } from "../os/io.ts";
import { type IdentityPaths, nextOf, settleIdentity } from "../certificates/next.ts";

/** What a node shows of its next key; all PEM. */
export interface KeyProof {
  /** A PKCS #10 request, signed with the key. */
  readonly request: string;
  /** A certificate for the same key, signed with nothing but that key: worth nothing but to serve until there is a real one. */
  readonly provisional: string;
}

const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const yearMillis = 365 * 86_400_000;

/**
 * The request for the key that waits for its certificate. The key is made where there is none, and never leaves its file
 * (mode 0600): asked again, by whichever process, the same key is asked for. To be called in a process that ends soon, for the
 * memory that it takes.
 * @throws KhwError IO_FAILED, CREDENTIAL_INVALID
 */
export async function proveKey(paths: IdentityPaths, name: string): Promise<KeyProof> {
  await settleIdentity(paths);
  const keys = await toCryptoKeys(await waitingKey(nextOf(paths).key));
  const x509 = await loadX509();
  const subject = [{ CN: [name] }];
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    name: subject,
    keys,
    signingAlgorithm: algorithm,
  });
  const now = Date.now();
  const provisional = await x509.X509CertificateGenerator.createSelfSigned({
    name: subject,
    notBefore: new Date(now - yearMillis),
    notAfter: new Date(now + 10 * yearMillis),
    keys,
    signingAlgorithm: algorithm,
    extensions: [new x509.SubjectAlternativeNameExtension([{ type: "dns", value: name }])],
  });
  return {
    request: `${request.toString("pem").trimEnd()}\n`,
    provisional: `${provisional.toString("pem").trimEnd()}\n`,
  };
}

/** The key in the file; a new one where there is none. Of two processes that make one at once, both get the same. */
async function waitingKey(path: string): Promise<KeyObject> {
  const key = await findOrMakeKey(path);
  await removeRemains(path);
  return key;
}

/** Removes the temporary files of processes that were killed; a process that still makes one finds the key that is there. */
async function removeRemains(path: string): Promise<void> {
  const folder = dirname(path);
  const remains = (await readdir(folder)).filter((name) => name.startsWith(`${basename(path)}.`));
  for (const name of remains) await io(path, "tidy up beside", () => rm(join(folder, name), { force: true }));
}

async function findOrMakeKey(path: string): Promise<KeyObject> {
  const present = await orAbsent(() => readFile(path));
  if (present !== undefined) return parseKey(path, present);
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const temporary = `${path}.${randomUUID()}`;
  return io(path, "make", async () => {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    try {
      await using file = await open(temporary, "wx", 0o600);
      await file.writeFile(privateKey.export({ type: "pkcs8", format: "pem" }));
      await file.sync();
      // Unlike a rename, a link does not replace what another process put there meanwhile.
      await link(temporary, path);
      await syncFolder(dirname(path));
      return privateKey;
    } catch (error) {
      // ENOENT: a process that has the key has removed the temporary file.
      if (isErrno(error, "EEXIST", "ENOENT")) return parseKey(path, await readFile(path));
      throw error;
    } finally {
      await rm(temporary, { force: true });
    }
  });
}

function parseKey(path: string, pem: Buffer): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch {
    // What the parser says may quote what it read.
    throw new KhwError("CREDENTIAL_INVALID", `${path}: is no private key`, { hint: `remove it: a new one is made` });
  }
}

async function toCryptoKeys(key: KeyObject): Promise<webcrypto.CryptoKeyPair> {
  const { subtle } = webcrypto;
  const { d: _secret, ...publicPart } = key.export({ format: "jwk" });
  const pkcs8 = new Uint8Array(key.export({ type: "pkcs8", format: "der" }));
  const [privateKey, publicKey] = await Promise.all([
    subtle.importKey("pkcs8", pkcs8, algorithm, false, ["sign"]),
    subtle.importKey("jwk", publicPart, algorithm, true, ["verify"]),
  ]);
  return { privateKey, publicKey };
}
