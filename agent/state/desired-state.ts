import { type DesiredState, parseDesiredState } from "../../proto/desired.ts";
import { type Etcd } from "../../proto/etcd.ts";
import { toWireSnapshotPolicy } from "../../proto/etcd-snapshots.ts";
import {
  ApplyRequest,
  type DesiredState as WireState,
  DriftPolicy,
  type Etcd as WireEtcd,
} from "../../proto/gen/khw/agent/v1/agent.ts";
import { formatError, toKhwError } from "../../proto/errors.ts";
import type { Files } from "../os/os.ts";

/** The state that the agent keeps the machine in: that of the last operation that succeeded. */
export interface Target {
  current(): Kept | undefined;
  /** Durable when it resolves. */
  adopt(operationId: string, desired: DesiredState): Promise<void>;
}

export interface Kept {
  /** The operation that established it. */
  readonly operationId: string;
  /** With the contents of all credentials: what was lost is put back from here. */
  readonly desired: DesiredState;
}

/**
 * Kept in a file for root alone, since it holds the cluster's keys (as /var/lib/kubernetes does). A record that this version
 * does not accept any more is told of and counts as none: the next Apply writes it anew.
 */
export async function openTarget(
  files: Files,
  { folder, log }: { readonly folder: string; readonly log: (line: string) => void },
): Promise<Target> {
  const path = `${folder}/target`;
  let kept = decode(await files.read(path), log);
  return {
    current: () => kept,
    adopt: async (operationId, desired) => {
      await files.mkdir(folder, 0o700);
      const request = { operationId, desired: toWire(desired) };
      await files.write(path, ApplyRequest.encode(request).finish(), 0o600);
      kept = { operationId, desired };
    },
  };
}

function decode(bytes: Uint8Array | undefined, log: (line: string) => void): Kept | undefined {
  if (bytes === undefined) return undefined;
  try {
    const { operationId, desired } = ApplyRequest.decode(bytes);
    return { operationId, desired: parseDesiredState(desired) };
  } catch (error) {
    log(
      `the kept state cannot be used, and drift is not looked for until the next apply: ${formatError(toKhwError(error))}`,
    );
    return undefined;
  }
}

function toWire({ driftPolicy, binaries, cluster, flags, credentials, etcd, ...state }: DesiredState): WireState {
  const report = driftPolicy === "report";
  return {
    ...state,
    binaries: { ...binaries, mirrors: [...binaries.mirrors], sha256: { ...binaries.sha256 } },
    cluster: { ...cluster, controllers: [...cluster.controllers], etcdServers: [...cluster.etcdServers] },
    flags: Object.fromEntries(
      Object.entries(flags).map(([component, { set, remove }]) => [component, { set, remove: [...remove] }]),
    ),
    credentials: credentials.map(({ name, sha256, content }) => ({
      name,
      sha256,
      content: content === undefined ? undefined : Buffer.from(content),
    })),
    etcd: etcd === undefined ? undefined : toWireEtcd(etcd),
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
