import { refuse, show } from "./validate.ts";

/** The Organization in a management certificate, which determines the holder's role. */
export const organizations = {
  /** May call everything. */
  admin: "khw:admin",
  /** May read, but not change. */
  viewer: "khw:viewer",
  /** The agent on the node that the certificate names. It must not call other agents. */
  agent: "khw:agent",
} as const;

export type Role = keyof typeof organizations;

const roleNames = ["admin", "viewer", "agent"] as const satisfies readonly Role[];

/**
 * Returns the role of a certificate's Organization, from Node's `subject.O`: one value, or a list of several. A
 * certificate that has none of khw's Organizations, or several, has no role.
 */
export function roleOf(subjectOrganization: string | readonly string[] | undefined): Role | undefined {
  const [organization, ...others] = [subjectOrganization ?? []].flat();
  return others.length > 0 ? undefined : roleNames.find((role) => organizations[role] === organization);
}

export function parseRole(field: string, value: string): Role {
  const role = roleNames.find((name) => name === value);
  return role ?? refuse(field, `${show(value)} is not a role`, `use one of ${roleNames.join(", ")}`);
}
