import { KhwError } from "../../proto/errors.ts";
import type { WithEtcd } from "../../proto/desired.ts";
import type { Files } from "../os/files.ts";
import type { Os } from "../os/os.ts";
import { etcdMemberFolder, etcdRecordFile, unitFolder } from "../paths.ts";
import { type InitialCluster, initialCluster, renderEtcd } from "../render/etcd.ts";
import { type MemberRecord, readMemberRecord } from "./record.ts";
import { hasData } from "./rejoin.ts";

const unit = "etcd.service";

/**
 * Returns why this machine cannot join the desired cluster: its etcd was set up with different members, or not by khw.
 * An etcd whose unit is identical to khw's is accepted. Returns null if there is no conflict.
 */
export async function findConflict(desired: WithEtcd, os: Os): Promise<KhwError | null> {
  const record = await readMemberRecord(os.files);
  return record === undefined ? foreign(desired, os) : otherMembers(record, initialCluster(desired));
}

/** Whether an etcd member has ever started on this machine. An unreadable record counts too. */
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

function otherMembers({ stage, members: known }: MemberRecord, wanted: InitialCluster): KhwError | null {
  if (spelt(known) === spelt(wanted)) return null;
  const what =
    stage === "forming" ? "etcd on this machine was started as a member" : "etcd on this machine is a member";
  return new KhwError(
    "ETCD_CONFLICT",
    `${what} of the cluster ${spelt(known)}, but the configured controllers are ${spelt(wanted)}`,
    {
      hint: "list the controllers that the cluster was created with; khw does not change the members of a cluster",
    },
  );
}

function spelt(members: InitialCluster): string {
  return [...members]
    .map(([name, url]) => `${name}=${url}`)
    .toSorted()
    .join(",");
}

/** Normalizes white space, so that texts that differ only in layout compare equal. */
function squeezed(text: string): string {
  return text
    .replaceAll("\\\n", " ")
    .replace(/[^\S\n]+/g, " ")
    .replace(/\s*\n\s*/g, "\n")
    .trim();
}
