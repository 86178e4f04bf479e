import { KhwError } from "../../proto/errors.ts";
import type { Snapshot } from "../../proto/gen/khw/agent/v1/etcd.ts";
import type { Member } from "../cluster/open.ts";
import { memberOf, readEtcd } from "./overview.ts";
import { roleOf } from "./tables.ts";

export interface TakeSnapshotOptions {
  readonly signal: AbortSignal;
  /** See Snapshot.purpose. */
  readonly purpose?: string;
}

/**
 * Takes and verifies a snapshot on one of these members. Prefers a follower, because the leader is busier.
 * @throws KhwError NOT_READY if no etcd member answers
 */
export async function takeSnapshot(
  members: readonly Member[],
  { signal, purpose = "" }: TakeSnapshotOptions,
): Promise<{ readonly snapshot: Snapshot; readonly node: string }> {
  const { node } = await chooseMember(members, signal);
  return { snapshot: await node.etcd.save(signal, purpose), node: node.address.name };
}

async function chooseMember(members: readonly Member[], signal: AbortSignal): Promise<Member> {
  const nodes = await readEtcd(members, signal);
  const answering = nodes.flatMap((node, index) => {
    const [status, member] = [memberOf(node), members[index]];
    return status === undefined || member === undefined ? [] : { member, role: roleOf(status) };
  });
  const chosen = answering.find(({ role }) => role === "follower") ?? answering[0];
  if (chosen !== undefined) return chosen.member;
  const reason = nodes.map(({ node, status, error }) => `${node}: ${error?.message ?? status?.reason ?? "?"}`);
  throw new KhwError("NOT_READY", `no etcd member answers: ${reason.join("; ")}`, {
    hint: "run `khw-client etcd status`",
  });
}
