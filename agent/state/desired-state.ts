import { isDeepStrictEqual } from "node:util";
import { type DesiredState, parseDesiredState } from "../../proto/desired.ts";
import { type Etcd } from "../../proto/etcd.ts";
import { toWireSnapshotPolicy } from "../../proto/etcd-snapshots.ts";
import {
  ApplyRequest,
  type DesiredState as WireState,
  DriftPolicy,
  type Etcd as WireEtcd,
} from "../../proto/gen/khw/agent/v1/agent.ts";
import type { Files } from "../os/files.ts";
import { openRecordFile } from "./record-file.ts";

/** The desired state in which the agent keeps the machine. It comes from the last successful operation. */
export interface KeptState {
  current(): KeptOperation | undefined;
  /** Returns why the desired state cannot be read; undefined if it can be read or does not exist. */
  damage(): string | undefined;
  /** The desired state is durable when the promise resolves. */
  save(operationId: string, desired: DesiredState): Promise<void>;
}

export interface KeptOperation {
  /** The operation that applied the desired state. */
  readonly operationId: string;
  /** The desired state, with the contents of all credentials, so that lost files can be restored. */
  readonly desired: DesiredState;
}

export interface KeptStateOptions {
  readonly folder: string;
  /** The name of the record file. Default: the file for the machine's own desired state. */
  readonly name?: string;
}

/**
 * Opens the stored desired state. Like /var/lib/kubernetes, the file contains the cluster's keys, so only root can read
 * the file. A record that cannot be read, or that this version does not accept, counts as absent. The next Apply moves
 * that record aside and writes a new one.
 */
export async function openKeptState(files: Files, { folder, name = "target" }: KeptStateOptions): Promise<KeptState> {
  const record = await openRecordFile(files, `${folder}/${name}`, { encode, decode });
  let kept = record.found;
  return {
    current: () => kept,
    damage: record.damage,
    save: async (operationId, desired) => {
      await record.write({ operationId, desired });
      kept = { operationId, desired };
    },
  };
}

/** Whether two desired states are equal. */
export function sameState(one: DesiredState, other: DesiredState): boolean {
  return isDeepStrictEqual(toWire(one), toWire(other));
}

function encode({ operationId, desired }: KeptOperation): Uint8Array {
  return ApplyRequest.encode({ operationId, desired: toWire(desired) }).finish();
}

function decode(bytes: Uint8Array): KeptOperation {
  const { operationId, desired } = ApplyRequest.decode(bytes);
  return { operationId, desired: parseDesiredState(desired) };
}

function toWire({
  driftPolicy,
  binaries,
  cluster,
  flags,
  credentials,
  etcd,
  files,
  hardening,
  ...state
}: DesiredState): WireState {
  const report = driftPolicy === "report";
  return {
    ...state,
    binaries: { ...binaries, mirrors: [...binaries.mirrors], sha256: { ...binaries.sha256 } },
    cluster: {
      ...cluster,
      controllers: [...cluster.controllers],
      etcdServers: [...cluster.etcdServers],
      leaving: [...cluster.leaving],
    },
    flags: Object.fromEntries(
      Object.entries(flags).map(([component, { set, remove }]) => [component, { set, remove: [...remove] }]),
    ),
    credentials: credentials.map(({ name, sha256, content }) => ({
      name,
      sha256,
      content: content === undefined ? undefined : Buffer.from(content),
    })),
    etcd: etcd === undefined ? undefined : toWireEtcd(etcd),
    hardening: { ...hardening, etcdCipherSuites: [...hardening.etcdCipherSuites] },
    files: files.map(({ name, sha256, content }) => ({
      name,
      sha256,
      content: content === undefined ? undefined : Buffer.from(content),
    })),
    supervision: { driftPolicy: report ? DriftPolicy.DRIFT_POLICY_REPORT : DriftPolicy.DRIFT_POLICY_REPAIR },
  };
}

function toWireEtcd({ mirrors, sha256, snapshots, ...etcd }: Etcd): WireEtcd {
  return {
    ...etcd,
    mirrors: [...mirrors],
    sha256: { ...sha256 },
    snapshots: snapshots === undefined ? undefined : toWireSnapshotPolicy(snapshots),
  };
}
