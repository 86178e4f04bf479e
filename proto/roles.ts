import { refuse, show } from "./validate.ts";

/** The Organization in a management certificate, which determines the holder's role. */
export const organizations = {
  /** May call every method. */
  admin: "khw:admin",
  /** May call only read-only methods. */
  viewer: "khw:viewer",
  /** The role of the agent on the node named in the certificate. An agent must not call other agents. */
  agent: "khw:agent",
} as const;

export type Role = keyof typeof organizations;

const roleNames = ["admin", "viewer", "agent"] as const satisfies readonly Role[];

/**
 * Returns the role for a certificate's Organization, which is a single value or a list (Node's `subject.O`). A
 * certificate with several Organizations, or with an Organization other than khw's, has no role.
 */
export function roleOf(subjectOrganization: string | readonly string[] | undefined): Role | undefined {
  const [organization, ...others] = [subjectOrganization ?? []].flat();
  return others.length > 0 ? undefined : roleNames.find((role) => organizations[role] === organization);
}

export function parseRole(field: string, value: string): Role {
  const role = roleNames.find((name) => name === value);
  return role ?? refuse(field, `${show(value)} is not a role`, `use one of ${roleNames.join(", ")}`);
}
