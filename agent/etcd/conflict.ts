import { ownController, type WithEtcd } from "../../proto/desired.ts";
import { KhwError } from "../../proto/errors.ts";
import { clientUrl, peerUrl } from "../../proto/etcd.ts";
import type { Files } from "../os/files.ts";
import type { Os } from "../os/os.ts";
import { etcdMemberFolder, etcdRecordFile, unitFolder } from "../paths.ts";
import { type InitialCluster, initialCluster, renderEtcd } from "../render/etcd.ts";
import { listMembers } from "./api.ts";
import { type MemberRecord, readMemberRecord } from "./record.ts";
import { hasData } from "./data.ts";

const unit = "etcd.service";

/**
 * Returns why this machine cannot be a member of the desired cluster; null if there is no conflict. In a conflict, the
 * machine's etcd has undesired members, or khw did not set up this etcd. An etcd whose unit is identical to khw's is
 * accepted. A member list that differs from the recorded list is accepted if it contains all of etcd's current members.
 * Controllers that are being removed may be missing from the list.
 */
export async function findConflict(desired: WithEtcd, os: Os, signal: AbortSignal): Promise<KhwError | null> {
  const record = await readMemberRecord(os.files);
  if (record === undefined) return foreign(desired, os);
  const wanted = initialCluster(desired);
  if (isSameList(record.members, wanted)) return null;
  const own = record.members.get(desired.node);
  if (own === undefined) return otherMembers(record, wanted);
  if (own !== wanted.get(desired.node)) return movedAddress(desired, own);
  switch (record.stage) {
    case "forming":
      return otherMembers(record, wanted);
    case "adding":
    case "joining":
      // The machine is not a voting member yet. The members are compared when the machine joins.
      return null;
    case "member":
      return (await lostMembers(desired, os, signal)) ? otherMembers(record, wanted) : null;
  }
}

/** Returns the desired controllers that are not voting members of etcd yet. */
export async function notYetMembers(desired: WithEtcd, os: Os, signal: AbortSignal): Promise<string[]> {
  const present = await listMembers(os.etcd, clientUrl(os.identity), signal);
  const voting = new Set(present.filter(({ learner }) => !learner).flatMap(({ peerUrls }) => peerUrls));
  return [...initialCluster(desired)].flatMap(([name, url]) => (voting.has(url) ? [] : name));
}

/**
 * Whether etcd has a member that is neither a desired controller nor being removed. Also returns true if etcd does not
 * answer, because its members are then unknown.
 */
async function lostMembers({ cluster }: WithEtcd, { etcd, identity }: Os, signal: AbortSignal): Promise<boolean> {
  try {
    const present = await listMembers(etcd, clientUrl(identity), signal);
    const urls = new Set([...cluster.controllers, ...cluster.leaving].map(peerUrl));
    return present.length === 0 || present.some(({ peerUrls }) => peerUrls.some((url) => !urls.has(url)));
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof KhwError) return true;
    throw error;
  }
}

/** Whether an etcd member has ever started on this machine. Also true if the member's record is unreadable. */
export async function memberStarted(files: Pick<Files, "stat">): Promise<boolean> {
  return (await files.stat(etcdRecordFile)) !== undefined || (await hasData(files));
}

async function foreign(desired: WithEtcd, { files, systemd }: Os): Promise<KhwError | null> {
  const text = (await files.read(`${unitFolder}/${unit}`))?.toString("utf8");
  const [data, { loadState }] = await Promise.all([hasData(files), systemd.unit(unit)]);
  if (text === undefined && !data && loadState === "not-found") return null;
  if (text !== undefined && squeezed(text) === squeezed(renderEtcd(desired))) return null;
  const what =
    text === undefined ? (data ? `data in ${etcdMemberFolder}` : "a package's etcd.service") : `${unitFolder}/${unit}`;
  return new KhwError("ETCD_CONFLICT", `this machine has an etcd that khw did not set up: ${what}`, {
    hint: `to keep it, set \`etcd.mode: external\` in khw.yaml (khw takes over an etcd that has lab 07's unit for exactly these controllers); to remove it, run \`systemctl disable --now etcd\` and remove its unit and ${etcdMemberFolder}`,
  });
}

/** Whether two lists have the same members. */
export function isSameList(one: InitialCluster, other: InitialCluster): boolean {
  return spelt(one) === spelt(other);
}

function otherMembers({ stage, members: known }: MemberRecord, wanted: InitialCluster): KhwError {
  const what =
    stage === "forming" ? "etcd on this machine was started as a member" : "etcd on this machine is a member";
  return new KhwError(
    "ETCD_CONFLICT",
    `${what} of the cluster ${spelt(known)}, but the configured controllers are ${spelt(wanted)}`,
    {
      hint: "list all controllers of the cluster; to remove a controller, run `khw-client remove NODE`",
    },
  );
}

/** A member keeps its peer URL, so a machine whose address has changed cannot be the same member. */
function movedAddress(desired: WithEtcd, before: string): KhwError {
  const { name, internalIp } = ownController(desired);
  return new KhwError(
    "ETCD_CONFLICT",
    `the internal address of ${name} is ${internalIp} now, but its etcd member is at ${before}`,
    {
      hint: `give the machine its old address; or create it under another name, and run \`khw-client replace ${name} --with NEW-NAME --dead\``,
    },
  );
}

function spelt(members: InitialCluster): string {
  return [...members]
    .map(([name, url]) => `${name}=${url}`)
    .toSorted()
    .join(",");
}

/** Normalizes whitespace, so that texts that differ only in layout compare equal. */
function squeezed(text: string): string {
  return text
    .replaceAll("\\\n", " ")
    .replace(/[^\S\n]+/g, " ")
    .replace(/\s*\n\s*/g, "\n")
    .trim();
}
