import { dirname } from "node:path";
import { KhwError } from "../../proto/errors.ts";
import * as wire from "../../proto/gen/khw/agent/v1/etcd.ts";
import type { Files } from "../os/files.ts";
import { etcdRecordFile } from "../paths.ts";
import type { InitialCluster } from "../render/etcd.ts";

/**
 * The agent's durable record of this machine's etcd member. The record prevents the accidental creation of a second
 * cluster. In the stage "forming", the member may start with --initial-cluster-state new. In the stage "member", the
 * member has been healthy at least once; if its data is lost, it can only rejoin. In the stage "adding", an administrator
 * has asked for a new member of an existing cluster, but etcd has not confirmed the member yet. In the stage "joining",
 * the member was added to the cluster as a learner, and is copying the other members' data.
 *
 * If `rejoins` is set, the agent has begun to replace the member with a new member, and may already have removed the
 * old member. `since` is the time of the removal, in milliseconds since the epoch; agents of earlier versions did not
 * record the time. If the old member is missing from the cluster, the agent continues the replacement, but only for
 * some minutes. After that, an administrator may have removed the machine. In all other cases, an administrator has
 * removed the missing member.
 */
export type MemberRecord =
  | { readonly stage: "forming"; readonly members: InitialCluster }
  | { readonly stage: "adding"; readonly members: InitialCluster; readonly clusterId: string }
  | (Identified & {
      readonly stage: "member" | "joining";
      readonly members: InitialCluster;
      readonly rejoins?: true;
      readonly since?: number;
    });

/** The IDs in decimal, as in etcd's API. */
export interface Identified {
  readonly clusterId: string;
  readonly memberId: string;
}

/** @throws KhwError IO_FAILED if the record is invalid, because a damaged record must not make the machine look new */
export async function readMemberRecord(files: Pick<Files, "read">): Promise<MemberRecord | undefined> {
  const text = (await files.read(etcdRecordFile))?.toString("utf8");
  return text === undefined ? undefined : parseMemberRecord(text);
}

/** Writes the record, which is durable when the promise resolves. */
export async function writeMemberRecord(files: Pick<Files, "mkdir" | "write">, record: MemberRecord): Promise<void> {
  await files.mkdir(dirname(etcdRecordFile), 0o700);
  const written = { ...record, members: Object.fromEntries(record.members) };
  await files.write(etcdRecordFile, `${JSON.stringify(written, null, 2)}\n`, 0o600);
}

/** Returns the record for GetEtcdStatus. */
export function toWireRecord(record: MemberRecord): wire.MemberRecord {
  return {
    stage: wireStages["rejoins" in record ? "joining" : record.stage],
    clusterId: record.stage === "forming" ? "" : hexId(record.clusterId),
    members: [...record.members].map(([name, url]) => ({ name, internalIp: URL.parse(url)?.hostname ?? "" })),
  };
}

const wireStages = {
  forming: wire.MemberStage.MEMBER_STAGE_FORMING,
  adding: wire.MemberStage.MEMBER_STAGE_ADDING,
  joining: wire.MemberStage.MEMBER_STAGE_JOINING,
  member: wire.MemberStage.MEMBER_STAGE_MEMBER,
} as const;

/** Formats a member's or cluster's ID in hex, as etcd's tools do. */
export function hexId(decimal: string): string {
  return BigInt(decimal).toString(16);
}

function parseMemberRecord(text: string): MemberRecord {
  const { stage, members, clusterId, memberId, rejoins, since } = parseRecordJson(text);
  if (typeof members !== "object" || members === null) return refuseRecord();
  const urls = new Map(
    Object.entries(members).map(([name, url]: [string, unknown]) => [name, typeof url === "string" ? url : ""]),
  );
  if (stage === "forming") return { stage, members: urls };
  if (stage === "adding" && isId(clusterId)) return { stage, members: urls, clusterId };
  if ((stage !== "member" && stage !== "joining") || !isId(clusterId) || !isId(memberId)) return refuseRecord();
  const known = { stage, members: urls, clusterId, memberId } as const;
  return rejoins === true ? { ...known, rejoins, ...(typeof since === "number" && { since }) } : known;
}

function isId(value: unknown): value is string {
  return typeof value === "string" && /^\d{1,20}$/.test(value);
}

function parseRecordJson(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? { ...value } : refuseRecord();
  } catch (error) {
    return error instanceof KhwError ? refuseRecord() : refuseRecord(error);
  }
}

function refuseRecord(cause?: unknown): never {
  throw new KhwError("IO_FAILED", `${etcdRecordFile} is not a valid record of an etcd member`, {
    hint: "if this machine's etcd member is healthy, remove that file and run `khw-client bootstrap`, which records the member again",
    cause,
  });
}
