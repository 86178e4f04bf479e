import { type EtcdFiles, etcdServerFiles } from "../../proto/etcd.ts";
import type { DefragmentResponse, EtcdMember, EtcdPeer } from "../../proto/gen/khw/agent/v1/etcd.ts";
import type { Files } from "../os/files.ts";
import type { Os } from "../os/os.ts";
import type { EtcdServers } from "../os/etcd-servers.ts";
import { etcdFile } from "../paths.ts";
import { countOf, fieldsOf, listOf, textOf, textsOf } from "./answer.ts";
import type { GatewayAnswer } from "./gateway.ts";

export const localServer = "https://127.0.0.1:2379";

/** Returns the paths of etcd's credentials on this machine. etcdctl uses them too. */
export async function etcdctlIdentity(files: Pick<Files, "stat">): Promise<Readonly<Record<keyof EtcdFiles, string>>> {
  const hasOwnCa = (await files.stat(etcdFile("etcd-ca.pem"))) !== undefined;
  const { ca, certificate, key } = etcdServerFiles(hasOwnCa);
  return { ca: etcdFile(ca), certificate: etcdFile(certificate), key: etcdFile(key) };
}

/**
 * Reads the local member's status. This works even without a quorum.
 * @throws KhwError NOT_READY if the member does not answer
 */
export async function readMember(etcd: EtcdServers, signal: AbortSignal): Promise<EtcdMember> {
  const [status, list] = await Promise.all(
    ["/v3/maintenance/status", "/v3/cluster/member/list"].map((path) =>
      etcd.post(localServer, { path, body: {}, signal }),
    ),
  );
  if (status === undefined || list === undefined) throw new TypeError("expected two answers");
  const header = fieldsOf(status["header"]);
  const memberId = hex(header["member_id"]);
  const members = listOf(list["members"]).map(peer);
  return {
    memberId,
    clusterId: hex(header["cluster_id"]),
    name: members.find((one) => one.memberId === memberId)?.name ?? "",
    leaderId: textOf(status["leader"]) === "" ? "" : hex(status["leader"]),
    raftTerm: countOf(status["raftTerm"]),
    raftIndex: countOf(status["raftIndex"]),
    appliedIndex: countOf(status["raftAppliedIndex"]),
    revision: countOf(header["revision"]),
    dbSize: countOf(status["dbSize"]),
    dbSizeInUse: countOf(status["dbSizeInUse"]),
    learner: status["isLearner"] === true,
    version: textOf(status["version"]),
    errors: textsOf(status["errors"]).map((error) => error.trim()),
    members,
  };
}

function peer(member: GatewayAnswer): EtcdPeer {
  return {
    memberId: hex(member["ID"]),
    name: textOf(member["name"]),
    peerUrls: textsOf(member["peerURLs"]),
    clientUrls: textsOf(member["clientURLs"]),
    learner: member["isLearner"] === true,
  };
}

/**
 * Formats an ID as etcdctl does. The gateway returns IDs as decimal strings, because they are too large for JSON
 * numbers.
 */
function hex(value: unknown): string {
  const decimal = textOf(value);
  return /^\d{1,20}$/.test(decimal) ? BigInt(decimal).toString(16) : "";
}

/**
 * The time limit for a defragmentation. The member copies its whole database and answers no requests in the meantime.
 */
const defragmentMillis = 300_000;

/** @throws KhwError NOT_READY if the member does not answer in time */
export async function defragment(
  { etcd, clock }: Pick<Os, "etcd" | "clock">,
  signal: AbortSignal,
): Promise<DefragmentResponse> {
  const { dbSize: sizeBefore } = await readMember(etcd, signal);
  const begun = clock.monotonic();
  const path = "/v3/maintenance/defragment";
  await etcd.post(localServer, { path, body: {}, signal, timeoutMillis: defragmentMillis });
  const durationMillis = Math.round(clock.monotonic() - begun);
  const { dbSize: sizeAfter } = await readMember(etcd, signal);
  return { sizeBefore, sizeAfter, durationMillis };
}
