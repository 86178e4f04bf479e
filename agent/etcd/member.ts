import type { EtcdMember, EtcdPeer } from "../../proto/gen/khw/agent/v1/etcd.ts";
import type { EtcdServers } from "../os/os.ts";
import { etcdFile } from "../paths.ts";
import type { Answer } from "./gateway.ts";

export const localServer = "https://127.0.0.1:2379";

/** The files that etcd has on the machine, with which etcdctl asks it. */
export const etcdCredentials = {
  ca: etcdFile("ca.pem"),
  certificate: etcdFile("kubernetes.pem"),
  key: etcdFile("kubernetes-key.pem"),
} as const;

/** The member's own account; answered without a quorum. @throws KhwError NOT_READY when it does not answer. */
export async function readMember(etcd: EtcdServers, signal: AbortSignal): Promise<EtcdMember> {
  const [status, list] = await Promise.all(
    ["/v3/maintenance/status", "/v3/cluster/member/list"].map((path) =>
      etcd.post(localServer, { path, body: {}, signal }),
    ),
  );
  if (status === undefined || list === undefined) throw new TypeError("two were asked for");
  const header = object(status["header"]);
  const memberId = hex(header["member_id"]);
  const members = objects(list["members"]).map(peer);
  return {
    memberId,
    clusterId: hex(header["cluster_id"]),
    name: members.find((one) => one.memberId === memberId)?.name ?? "",
    leaderId: text(status["leader"]) === "" ? "" : hex(status["leader"]),
    raftTerm: count(status["raftTerm"]),
    raftIndex: count(status["raftIndex"]),
    appliedIndex: count(status["raftAppliedIndex"]),
    revision: count(header["revision"]),
    dbSize: count(status["dbSize"]),
    dbSizeInUse: count(status["dbSizeInUse"]),
    learner: status["isLearner"] === true,
    version: text(status["version"]),
    errors: texts(status["errors"]).map((error) => error.trim()),
    members,
  };
}

function peer(member: Answer): EtcdPeer {
  return {
    memberId: hex(member["ID"]),
    name: text(member["name"]),
    peerUrls: texts(member["peerURLs"]),
    clientUrls: texts(member["clientURLs"]),
    learner: member["isLearner"] === true,
  };
}

/** The gateway leaves out what is zero, false or empty. */
function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function count(value: unknown): number {
  return Number(text(value) || 0);
}

/** As etcdctl writes ids; the gateway has them in decimal, larger than a number holds. */
function hex(value: unknown): string {
  const decimal = text(value);
  return /^\d{1,20}$/.test(decimal) ? BigInt(decimal).toString(16) : "";
}

function texts(value: unknown): string[] {
  return Array.isArray(value) ? value.map(text) : [];
}

function object(value: unknown): Answer {
  return typeof value === "object" && value !== null ? { ...value } : {};
}

function objects(value: unknown): Answer[] {
  return Array.isArray(value) ? value.map(object) : [];
}
