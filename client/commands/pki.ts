import { X509Certificate } from "node:crypto";
import { join } from "node:path";
import { parseRole } from "../../proto/roles.ts";
import type { Role } from "../../proto/roles.ts";
import { parseNodeName, refuse, show } from "../../proto/validate.ts";
import type { Context } from "../terminal/context.ts";
import { addFiles, identityFiles, makeFolder, readAuthority } from "../pki/folder.ts";
import type { NewFiles } from "../pki/folder.ts";
import { describeCertificate } from "../pki/pem.ts";
import { authorityDays, identityDays, issue } from "../pki/management/issue.ts";
import { newManagement } from "../pki/management/management.ts";
import { addToRegister, readRegister, refuseRevoked } from "../pki/management/register.ts";

export interface PkiInitOptions {
  readonly folder: string;
}

/** Creates the management CA and the first administrator's identity. */
export async function pkiInit(context: Context, { folder }: PkiInitOptions): Promise<number> {
  const files = await newManagement(new Date());
  await makeFolder(folder);
  await addFiles(folder, files);
  reportFiles(context, folder, files);
  return 0;
}

export interface PkiIssueOptions {
  readonly folder: string;
  readonly names: readonly string[];
  /** The option's value: admin, viewer or agent. */
  readonly role: string;
  /** The validity of the certificates in days; one year by default. */
  readonly days?: number | undefined;
}

/** Issues an identity for each name. Issues no identities at all if any of them cannot be issued. */
export async function pkiIssue(context: Context, options: PkiIssueOptions): Promise<number> {
  const role = parseRole("--role", options.role);
  const names = options.names.map((name) => parseName(name, role));
  if (names.length === 0) refuse("pki issue", "no name given", "specify a name, or use --nodes for several agents");
  const days = parseDays(options.days ?? identityDays);
  const authority = await readAuthority(options.folder);
  const register = await readRegister(options.folder);
  if (role === "agent") for (const name of names) refuseRevoked(register, name);
  const now = new Date();
  const identities = await Promise.all(
    names.map(async (name) => identityFiles(name, await issue(authority, { name, role, days }, now))),
  );
  const files: NewFiles = Object.assign({}, ...identities);
  await addFiles(options.folder, files);
  if (role === "agent") for (const name of names) await enter(options.folder, name, files);
  reportFiles(context, options.folder, files);
  return 0;
}

async function enter(folder: string, name: string, files: NewFiles): Promise<void> {
  const serial = new X509Certificate(files[`${name}.pem`] ?? "").serialNumber;
  await addToRegister(folder, { event: "issued", at: new Date().toISOString(), name, serial });
}

/**
 * Checks a name, which also becomes a file name. An agent is named after its instance; a person's name may be an e-mail
 * address.
 */
function parseName(name: string, role: Role): string {
  if (role === "agent") return parseNodeName("name", name);
  if (!/^[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}$/.test(name)) {
    refuse(
      "name",
      `${show(name)} is not a valid name for an identity`,
      "use at most 64 characters: letters, digits and . _ @ + -",
    );
  }
  return name;
}

function parseDays(days: number): number {
  if (Number.isInteger(days) && days >= 1 && days <= authorityDays) return days;
  return refuse("--days", `${days} is not a number of days`, `use a number from 1 to ${authorityDays}`);
}

function reportFiles(context: Context, folder: string, files: NewFiles): void {
  for (const [name, content] of Object.entries(files)) {
    const what = name.endsWith("-key.pem") ? "private key" : describeCertificate(content);
    context.write(`${join(folder, name)}: ${what}\n`);
  }
}
