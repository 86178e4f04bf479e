import { dirname } from "node:path";
import { formatError, toKhwError } from "../../proto/errors.ts";
import { fetchInfo, type Member, type OpenCluster } from "../cluster/open.ts";
import { readRegister, refuseRevoked } from "../pki/management/register.ts";
import { note, type ProgressOptions } from "../progress/progress.ts";
import { openEnroller } from "./enroller.ts";

/**
 * Enrols the agents that are waiting for a certificate. Returns the cluster with the enrolled agents' answers.
 * Enrolment needs the Compute API, because each agent must prove which instance it is running on. A node that could not
 * be enrolled still counts as not answering, and the reason is printed.
 */
export async function enrolWaitingAgents(
  cluster: OpenCluster,
  { progress, signal }: ProgressOptions,
): Promise<OpenCluster> {
  const waiting = cluster.members.filter(({ error }) => error?.code === "NOT_ENROLLED");
  if (waiting.length === 0 || cluster.cloud === undefined) return cluster;
  const report = (node: string, text: string): void => note(progress, `${node}: ${text}`);
  const [register, enrol] = await Promise.all([
    readRegister(dirname(cluster.config.management.ca)),
    openEnroller(cluster, { say: report, signal }),
  ]);
  const enrolled = async (member: Member): Promise<Member> => {
    const { address } = member.node;
    try {
      refuseRevoked(register, address.name);
      report(address.name, await enrol(address));
      return { node: cluster.reconnect(member.node) };
    } catch (thrown) {
      note(progress, formatError(toKhwError(thrown).at({ node: address.name })));
      return member;
    }
  };
  const members = await Promise.all(
    cluster.members.map(async (member) => (waiting.includes(member) ? enrolled(member) : member)),
  );
  return { ...cluster, members: await fetchInfo(members, signal) };
}
