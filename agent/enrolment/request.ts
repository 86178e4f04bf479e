import { createPrivateKey, generateKeyPairSync, type KeyObject, randomUUID, webcrypto } from "node:crypto";
import { link, mkdir, open, readdir, readFile, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { dayMillis } from "../../proto/time.ts";
import { isErrno } from "../../proto/errno.ts";
import { KhwError } from "../../proto/errors.ts";
import { loadX509 } from "../../proto/x509.ts";
import { syncFolder } from "../os/durable.ts";
import { io, orAbsent } from "../os/io.ts";
import { type IdentityPaths, nextOf, settleIdentity } from "../certificates/next.ts";

/** Proves that a node has its next key. Both parts are in PEM format. */
export interface KeyProof {
  /** A PKCS #10 signing request, signed with the key. */
  readonly request: string;
  /** A self-signed certificate for the same key. The agent presents this certificate until it receives a real one. */
  readonly provisional: string;
}

const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const yearMillis = 365 * dayMillis;

/**
 * Returns the signing request for the pending key. Generates the key if it is missing; the key never leaves its file
 * (mode 0600). Repeated calls, from any process, use the same key. Call this function in a short-lived process, because
 * it needs a lot of memory.
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

/** Reads the key, or generates a new one. If two processes do so at the same time, both get the same key. */
async function waitingKey(path: string): Promise<KeyObject> {
  const key = await findOrMakeKey(path);
  await removeRemains(path);
  return key;
}

/**
 * Removes temporary files left behind by killed processes. If a process is still running when its temporary file is
 * removed, the process uses the existing key.
 */
async function removeRemains(path: string): Promise<void> {
  const folder = dirname(path);
  const remains = (await readdir(folder)).filter((name) => name.startsWith(`${basename(path)}.`));
  for (const name of remains)
    await io(path, "cannot remove temporary files", () => rm(join(folder, name), { force: true }));
}

async function findOrMakeKey(path: string): Promise<KeyObject> {
  const present = await orAbsent(() => readFile(path));
  if (present !== undefined) return parseKey(path, present);
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const temporary = `${path}.${randomUUID()}`;
  return io(path, "cannot create", async () => {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    try {
      await using file = await open(temporary, "wx", 0o600);
      await file.writeFile(privateKey.export({ type: "pkcs8", format: "pem" }));
      await file.sync();
      // Unlike a rename, a link does not replace a file that another process has created in the meantime.
      await link(temporary, path);
      await syncFolder(dirname(path));
      return privateKey;
    } catch (error) {
      // ENOENT means that another process has generated the key and removed the temporary file.
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
    // The parser's message may quote the file's contents, which are secret.
    throw new KhwError("CREDENTIAL_INVALID", `${path}: is not a private key`, {
      hint: "remove the file; the agent then generates a new key",
    });
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
