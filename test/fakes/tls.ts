import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

export interface ServerIdentity {
  readonly key: string;
  readonly cert: string;
  /** The path of the server's certificate. A client that reads this file as its CA trusts the server. */
  readonly file: string;
}

/**
 * Creates a key and a self-signed certificate in the folder. The names are subject alternative names ("DNS:...",
 * "IP:...").
 */
export async function issueFor(folder: string, names: string): Promise<ServerIdentity> {
  const [keyFile, file] = [join(folder, "key.pem"), join(folder, "cert.pem")];
  const kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
  const subject = ["-subj", "/CN=test", "-addext", `subjectAltName=${names}`];
  await promisify(execFile)("openssl", ["req", ...kind, ...subject, "-keyout", keyFile, "-out", file]);
  const [key, cert] = await Promise.all([readFile(keyFile, "utf8"), readFile(file, "utf8")]);
  return { key, cert, file };
}
