import { X509Certificate } from "node:crypto";
import { type Role, roleOf } from "../../proto/roles.ts";
import { subjectOf } from "../../proto/subject.ts";
import type { ClusterConfig } from "../config/schema.ts";
import { readManagementIdentity } from "./channel.ts";

/**
 * Returns the role in this client's own certificate, so that the client can skip calls that the agents would refuse.
 */
export async function readOwnRole({ management }: Pick<ClusterConfig, "management">): Promise<Role | undefined> {
  const { certificate } = await readManagementIdentity(management);
  return roleOf(subjectOf(new X509Certificate(certificate)).O);
}
