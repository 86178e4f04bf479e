import { refuse, show } from "./validate.ts";

/** What the Organization of a management certificate says that its holder is. */
export const organizations = {
  /** May do everything that an agent offers. */
  admin: "khw:admin",
  /** May read, and change nothing. */
  viewer: "khw:viewer",
  /** Is the agent of the node that the certificate is for; may ask nothing of another agent. */
  agent: "khw:agent",
} as const;

export type Role = keyof typeof organizations;

const roleNames = ["admin", "viewer", "agent"] as const satisfies readonly Role[];

/**
 * The role that a certificate's Organization gives, as Node's `subject.O` has it: one value, or a list when there are several.
 * A certificate with no Organization of khw's, or with more than one Organization, has none.
 */
export function roleOf(subjectOrganization: string | readonly string[] | undefined): Role | undefined {
  const [organization, ...others] = [subjectOrganization ?? []].flat();
  return others.length > 0 ? undefined : roleNames.find((role) => organizations[role] === organization);
}

export function parseRole(field: string, value: string): Role {
  const role = roleNames.find((name) => name === value);
  return role ?? refuse(field, `${show(value)} is no role`, `one of ${roleNames.join(", ")}`);
}
