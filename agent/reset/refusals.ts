import { isIPv4 } from "node:net";
import type { DesiredState } from "../../proto/desired.ts";
import { KhwError } from "../../proto/errors.ts";
import { clientUrl, peerUrl } from "../../proto/etcd.ts";
import type { ResetRequest } from "../../proto/gen/khw/agent/v1/removal.ts";
import { refuse, show } from "../../proto/validate.ts";
import { demandOwnView } from "../health/own-view.ts";
import { listMembers, type Member } from "../etcd/api.ts";
import { findQuorum } from "../etcd/quorum.ts";
import { type MemberRecord, readMemberRecord } from "../etcd/record.ts";
import { hasData } from "../etcd/data.ts";
import type { Os } from "../os/os.ts";
import { credentialFile } from "../paths.ts";
import { shareCertificate } from "../certificates/shared.ts";

/**
 * Refuses a request that is meant for another machine or another cluster.
 * @throws KhwError INVALID_ARGUMENT, IDENTITY_MISMATCH
 */
export async function refuseOther(
  { node, clusterName, caPem }: ResetRequest,
  { files, identity }: Pick<Os, "files" | "identity">,
  kept: DesiredState | undefined,
): Promise<void> {
  if (clusterName === "") refuse("cluster_name", "is empty");
  if (node !== identity.name)
    throw mismatch(`this machine is ${identity.name}, not ${show(node)}`, "correct the node's address in khw.yaml");
  if (kept !== undefined && kept.cluster.name !== clusterName) {
    const why = `this machine belongs to the cluster ${show(kept.cluster.name)}, not to ${show(clusterName)}`;
    throw mismatch(why, "correct the node's address or `cluster.name` in khw.yaml");
  }
  const path = credentialFile("ca.pem");
  const own = (await files.read(path))?.toString("utf8") ?? "";
  if (caPem === "" || own === "" || shareCertificate(own, caPem)) return;
  throw mismatch(
    `${path} on this machine is the CA of another cluster`,
    "use --credentials to specify the folder that holds the credentials of this machine's cluster",
  );
}

function mismatch(why: string, hint: string): KhwError {
  return new KhwError("IDENTITY_MISMATCH", `nothing was reset, because ${why}`, { hint });
}

/**
 * Refuses a reset that would make etcd lose its quorum. A machine that is not a member of the other machines' cluster
 * can always be reset.
 * @throws KhwError WOULD_INTERRUPT; NOT_READY if the agent cannot trust its own observations
 */
export async function refuseLostQuorum(os: Os, signal: AbortSignal): Promise<void> {
  const record = await readMemberRecord(os.files);
  if (record === undefined || (record.stage === "forming" && !(await hasData(os.files)))) return;
  await demandOwnView(os, signal);
  const others = otherServers(record, os);
  if (others.length === 0)
    throw lost(
      "this machine has the cluster's only etcd member",
      "to remove the whole cluster, run `khw-client reset --all`",
    );
  if (await isListedNowhere(os, others, signal)) return;
  const { clusterId } = record.stage === "forming" ? { clusterId: undefined } : record;
  try {
    await findQuorum(os.etcd, others, { clusterId, signal });
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof KhwError)) throw error;
    throw lost(
      `etcd would lose its quorum: ${error.message}`,
      `to remove this node from the cluster, run \`khw-client remove ${os.identity.name}\`; to remove the whole cluster, run \`khw-client reset --all\``,
    );
  }
}

/**
 * Refuses to remove the whole cluster if a machine that the command does not reset still runs a member of the cluster.
 * @param clusterIps the internal addresses of the machines that the command resets; if empty, checks nothing
 * @throws KhwError WOULD_INTERRUPT; INVALID_ARGUMENT
 */
export async function refuseOtherMembers(os: Os, clusterIps: readonly string[], signal: AbortSignal): Promise<void> {
  for (const ip of clusterIps) if (!isIPv4(ip)) refuse("cluster_ips", `${show(ip)} is not an IPv4 address`);
  const record = clusterIps.length === 0 ? undefined : await readMemberRecord(os.files);
  if (record === undefined) return;
  const reset = new Set(clusterIps.map((internalIp) => clientUrl({ internalIp })));
  const current = await membersAt(os, clientUrl(os.identity), signal);
  const listed = current?.flatMap(({ peerUrls }) => peerUrls) ?? [...record.members.values()];
  const others = listed.map((url) => clientUrl({ internalIp: new URL(url).hostname })).filter((url) => !reset.has(url));
  const answers = await Promise.all(others.map((server) => membersAt(os, server, signal)));
  const running = others.filter((_, index) =>
    answers[index]?.some(({ peerUrls }) => peerUrls.includes(peerUrl(os.identity))),
  );
  if (running.length === 0) return;
  throw lost(
    `these machines also run members of this cluster's etcd, but are not listed: ${running.map((url) => new URL(url).hostname).join(", ")}`,
    "list all controllers in khw.yaml or --nodes",
  );
}

function lost(why: string, hint: string): KhwError {
  return new KhwError("WOULD_INTERRUPT", `nothing was reset, because ${why}`, { hint });
}

/** Returns the client URLs of the other members in this machine's record. */
function otherServers({ members }: MemberRecord, { identity }: Pick<Os, "identity">): string[] {
  const own = peerUrl(identity);
  return [...members.values()]
    .filter((url) => url !== own)
    .map((url) => clientUrl({ internalIp: new URL(url).hostname }));
}

/** Whether at least one other member answers, and no answer lists this machine as a member. */
async function isListedNowhere(os: Os, servers: readonly string[], signal: AbortSignal): Promise<boolean> {
  const own = peerUrl(os.identity);
  const lists = await Promise.all(servers.map((server) => membersAt(os, server, signal)));
  const answers = lists.filter((list) => list !== undefined);
  return answers.length > 0 && answers.every((list) => list.every(({ peerUrls }) => !peerUrls.includes(own)));
}

/** Returns the members that this server lists; undefined if it does not answer. */
async function membersAt(os: Os, server: string, signal: AbortSignal): Promise<Member[] | undefined> {
  try {
    return await listMembers(os.etcd, server, signal);
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof KhwError) return undefined;
    throw error;
  }
}
