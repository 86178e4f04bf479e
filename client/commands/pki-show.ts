import { mapStrings, oneLine as sanitize } from "../../proto/sanitize.ts";
import type { X509Certificate } from "node:crypto";
import { resolve } from "node:path";
import type { ClusterConfig } from "../config/schema.ts";
import type { Context } from "../terminal/context.ts";
import { readFolder } from "../pki/check/folder.ts";
import { kubeconfigIn } from "../pki/check/kubeconfig.ts";
import { publicKeyOf } from "../pki/check/certificate.ts";
import { readCertificates } from "../pki/check/pem.ts";
import { collect, formatProblem } from "../pki/check/problem.ts";
import { describeRotation, rotationFolders, rotationsUnderWay } from "../rotations/under-way.ts";
import { textTable } from "../terminal/table.ts";
import type { PkiFolderOptions } from "./pki-check.ts";
import { dayMillis, utcDay } from "../../proto/time.ts";

interface CertificateRow {
  readonly file: string;
  readonly subject: string;
  readonly names: readonly string[];
  readonly issuer: string;
  readonly expires: Date;
  readonly key: string;
}

/** Prints a table of all certificates in the folder, including those in kubeconfigs. Returns exit code 0. */
export async function pkiShow(
  config: ClusterConfig,
  { write, warn }: Context,
  { output, folder = config.credentials.folder }: PkiFolderOptions,
): Promise<number> {
  const { files, problems } = await readFolder(resolve(folder));
  for (const problem of problems) warn(`${sanitize(formatProblem(problem))}\n`);
  const rows = [...files].flatMap(([file, content]) =>
    shownCertificates(file, content).map((found) => mapStrings(toCertificateRow(file, found), sanitize)),
  );
  const rotations = await rotationsUnderWay({ ...rotationFolders(config), credentials: resolve(folder) });
  if (output === "json") {
    write(`${JSON.stringify({ folder: resolve(folder), certificates: rows, rotations }, null, 2)}\n`);
    return 0;
  }
  const now = Date.now();
  const cells = rows.map(({ file, subject, names, issuer, expires, key }) => [
    file,
    subject,
    issuer,
    key,
    expiresIn(expires, now),
    lines(names) || "-",
  ]);
  write(`${await textTable(["FILE", "SUBJECT", "ISSUER", "KEY", "EXPIRES IN", "NAMES"], cells)}\n`);
  for (const rotation of rotations) write(`${describeRotation(rotation)}\n`);
  return 0;
}

function shownCertificates(file: string, content: Uint8Array): readonly X509Certificate[] {
  if (!file.endsWith(".kubeconfig")) return readCertificates(content);
  const { result } = collect(kubeconfigIn(file, content));
  return result === undefined ? [] : readCertificates(result.certificate);
}

function toCertificateRow(file: string, certificate: X509Certificate): CertificateRow {
  const { subject, issuer, subjectAltName, validToDate } = certificate;
  const names = subjectAltName?.split(", ").map((name) => name.replace(/^(DNS|IP Address):/, "")) ?? [];
  return {
    file,
    subject: oneLine(subject),
    names,
    issuer: oneLine(issuer),
    expires: validToDate,
    key: keyOf(certificate),
  };
}

/**
 * Returns the name in the form `CN=admin, O=system:masters`. Kubernetes reads only CN and O; the other fields of the
 * labs' names are always the same.
 */
function oneLine(name: string | undefined): string {
  // A certificate may have no subject; Node.js then returns undefined, contrary to its types.
  const parts = (name ?? "").split("\n").filter((part) => /^(CN|O)=/.test(part));
  return parts.toSorted().join(", ");
}

/** Joins the words into lines of at most 60 characters, unless a single word is longer. */
function lines(words: readonly string[]): string {
  const found: string[] = [];
  for (const word of words) {
    const last = found.at(-1);
    if (last === undefined || last.length + 1 + word.length > 60) found.push(word);
    else found[found.length - 1] = `${last} ${word}`;
  }
  return found.join("\n");
}

function keyOf(certificate: X509Certificate): string {
  const key = publicKeyOf(certificate);
  if (key === undefined) return "unknown";
  const { asymmetricKeyType, asymmetricKeyDetails } = key;
  const size = asymmetricKeyDetails?.modulusLength ?? asymmetricKeyDetails?.namedCurve ?? "";
  return `${asymmetricKeyType ?? "?"} ${size}`;
}

function expiresIn(expires: Date, now: number): string {
  const days = Math.floor((expires.getTime() - now) / dayMillis);
  return days < 0 ? `expired on ${utcDay(expires)}` : `${days} days`;
}
