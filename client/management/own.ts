import { X509Certificate } from "node:crypto";
import { readdir } from "node:fs/promises";
import { roleOf } from "../../proto/roles.ts";
import { subjectOf } from "../../proto/subject.ts";
import type { Identity } from "../pki/certificate.ts";
import { identityFiles, isPair, type NewFiles, readIdentity } from "../pki/folder.ts";
import { identityDays, issue } from "../pki/management/issue.ts";
import { readRegister, type Register } from "../pki/management/register.ts";
import { parseCertificate } from "../pki/pem.ts";

/** A reissued identity, with a certificate from the new CA. */
export interface Reissued {
  readonly name: string;
  readonly role: "admin" | "viewer" | "agent";
  readonly serial: string;
  readonly files: NewFiles;
}

export interface ReissueOwnOptions {
  readonly old: Identity;
  readonly next: Identity;
  readonly register: Register;
  readonly now: Date;
}

/**
 * Reissues all identities in the folder that have certificates from the old CA. These identities belong to
 * administrators and viewers, or were issued to agents beforehand. Writes nothing. Leaves out revoked agents.
 */
export async function reissueIdentities(
  folder: string,
  { old, next, register, now }: ReissueOwnOptions,
): Promise<Reissued[]> {
  const authority = new X509Certificate(old.certificate);
  const found: Reissued[] = [];
  for (const { name, role, certificate } of await identitiesIn(folder)) {
    if (!certificate.verify(authority.publicKey) || register.revokedNames.has(name)) continue;
    const made = await issue(next, { name, role, days: identityDays }, now);
    const serial = new X509Certificate(made.certificate).serialNumber;
    found.push({ name, role, serial, files: identityFiles(name, made) });
  }
  return found;
}

/**
 * Returns the agents that have certificates from the management CA in this folder, are not revoked, and are not in the
 * list. The names come from the register, and from identities that were issued to agents beforehand.
 */
export async function unlistedAgents(folder: string, listed: readonly string[]): Promise<string[]> {
  const { issued, revokedNames } = await readRegister(folder);
  const beforehand = (await identitiesIn(folder)).filter(({ role }) => role === "agent").map(({ name }) => name);
  const names = new Set([...issued.keys(), ...beforehand]);
  return [...names].filter((name) => !revokedNames.has(name) && !listed.includes(name)).toSorted();
}

interface FoundIdentity {
  readonly name: string;
  readonly role: Reissued["role"];
  readonly certificate: X509Certificate;
}

/** Returns the identities of people and agents in the folder, sorted by name. Skips files that are not valid. */
async function identitiesIn(folder: string): Promise<FoundIdentity[]> {
  const names = (await readdir(folder)).flatMap((file) => /^([^.].*)-key\.pem$/.exec(file)?.[1] ?? []);
  const found: FoundIdentity[] = [];
  for (const name of names.filter((candidate) => candidate !== "ca").toSorted()) {
    const identity = await readIdentity(folder, name);
    const certificate = identity === undefined ? undefined : parseCertificate(identity.certificate);
    if (identity === undefined || certificate === undefined || !isPair(identity)) continue;
    const role = roleOf(subjectOf(certificate)["O"]);
    if (role !== undefined) found.push({ name, role, certificate });
  }
  return found;
}
