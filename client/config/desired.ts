import { components } from "../../proto/components.ts";
import { readConfigFiles } from "./files/own.ts";
import type { Controller, Credential } from "../../proto/desired.ts";
import { parseDesiredState } from "../../proto/desired.ts";
import type * as wire from "../../proto/gen/khw/agent/v1/agent.ts";
import { DriftPolicy } from "../../proto/gen/khw/agent/v1/agent.ts";
import { toWireSnapshotPolicy } from "../../proto/etcd-snapshots.ts";
import { ipv4ToNumber } from "../../proto/validate.ts";
import { usesKms } from "../encryption/uses-kms.ts";
import { kmsOf } from "./encryption.ts";
import { readNamedFile } from "./files/read.ts";
import { toHardening, withProfile } from "./profile.ts";
import type { ClusterConfig, FlagChanges } from "./schema.ts";
import type { Releases } from "./releases.ts";
import { withTokens } from "./tokens.ts";

/** Values that are not in the configuration. */
export interface Resolved {
  /** Every controller, in any order. */
  readonly controllers: readonly Controller[];
  /** Controllers that are being removed. Default: no controllers. */
  readonly leaving?: readonly Controller[];
  readonly publicAddress: string;
  readonly releases: Releases;
}

/**
 * Returns the desired state of each controller, by the controller's name. The result does not depend on the order of
 * the nodes, because a different order must not restart every API server.
 * @throws KhwError INVALID_ARGUMENT if an agent would reject the desired state; CONFIG_INVALID if a file
 * that khw.yaml names cannot be read
 */
export async function toDesired(
  config: ClusterConfig,
  { controllers: named, leaving = [], publicAddress, releases }: Resolved,
  credentials: readonly Credential[],
): Promise<ReadonlyMap<string, wire.DesiredState>> {
  const { kubernetes, cluster } = config;
  const controllers = named.toSorted((a, b) => ipv4ToNumber(a.internalIp) - ipv4ToNumber(b.internalIp));
  const { files, ...used } = await readConfigFiles(config, { releases, publicAddress });
  const common = {
    kubernetesVersion: releases.kubernetes,
    binaries: {
      mirrors: [...kubernetes.mirrors],
      proxy: kubernetes.proxy ?? "",
      caPem:
        kubernetes.caFile === undefined
          ? ""
          : (await readNamedFile("kubernetes.caFile", kubernetes.caFile)).toString("utf8"),
      sha256: { ...kubernetes.sha256 },
    },
    cluster: {
      name: cluster.name,
      publicAddress,
      controllers: controllers.map(({ name, internalIp }) => ({ name, internalIp })),
      leaving: leaving.map(({ name, internalIp }) => ({ name, internalIp })),
      etcdServers: [...(cluster.etcdServers ?? controllers.map(({ internalIp }) => `https://${internalIp}:2379`))],
      serviceCidr: cluster.serviceCidr,
      clusterCidr: cluster.clusterCidr,
      nodePortRange: cluster.nodePortRange,
    },
    flags: Object.fromEntries(
      Object.entries(
        withTokens(
          withEmulation(withProfile(config, releases.kubernetes, used), releases.emulated),
          config.tlsBootstrap,
        ),
      )
        .map(([component, changes]) => [component, toOverrides(changes)] as const)
        .filter(([, { set, remove }]) => Object.keys(set).length > 0 || remove.length > 0),
    ),
    credentials: credentials.map(({ name, sha256, content }) => ({
      name,
      sha256,
      content: content === undefined ? undefined : Buffer.from(content),
    })),
    supervision: {
      driftPolicy:
        config.supervision.drift === "report" ? DriftPolicy.DRIFT_POLICY_REPORT : DriftPolicy.DRIFT_POLICY_REPAIR,
    },
    etcd: isManaged(config) ? toEtcd(config.etcd, releases.etcd) : undefined,
    files: [...files],
    hardening: toHardening(config),
    kms: toKmsPlugin(config, credentials),
  };
  const states = controllers.map(({ name }): wire.DesiredState => ({ node: name, ...common }));
  for (const state of states) parseDesiredState(state);
  return new Map(states.map((state) => [state.node, state]));
}

/** The settings that determine whether khw manages etcd. */
export interface EtcdPlace {
  readonly etcd: Pick<ClusterConfig["etcd"], "mode">;
  readonly cluster: Pick<ClusterConfig["cluster"], "etcdServers">;
}

/** Whether khw manages etcd. */
export function isManaged({ etcd, cluster }: EtcdPlace): boolean {
  return (etcd.mode ?? (cluster.etcdServers === undefined ? "managed" : "external")) === "managed";
}

function toEtcd(
  { mirrors, sha256, strict, dedicatedDisk, snapshots }: ClusterConfig["etcd"],
  version: string,
): wire.Etcd {
  const { interval, keep, bucket = "" } = snapshots;
  return {
    version,
    mirrors: [...mirrors],
    sha256: { ...sha256 },
    strict,
    dedicatedDisk,
    snapshots: interval === undefined ? undefined : toWireSnapshotPolicy({ intervalMillis: interval, keep, bucket }),
  };
}

/** Returns the KMS plugin that the API servers need; undefined if encryption-config.yaml does not name the plugin. */
function toKmsPlugin({ encryption }: ClusterConfig, credentials: readonly Credential[]): wire.KmsPlugin | undefined {
  const kms = kmsOf(encryption);
  const file = credentials.find(({ name }) => name === "encryption-config.yaml");
  return kms !== undefined && usesKms(file?.content, kms) ? { socket: kms.socket, unit: kms.unit } : undefined;
}

/** Returns a desired state for Plan and Preflight. It has digests in place of the contents of credentials and files. */
export function withoutContent(state: wire.DesiredState): wire.DesiredState {
  return {
    ...state,
    credentials: state.credentials.map(({ name, sha256 }) => ({ name, sha256, content: undefined })),
    files: state.files.map(({ name, sha256 }) => ({ name, sha256, content: undefined })),
  };
}

/** Adds the flag that makes a component emulate another release. A flag from khw.yaml takes precedence. */
function withEmulation(
  flags: ClusterConfig["kubernetes"]["flags"],
  emulated: string | undefined,
): ClusterConfig["kubernetes"]["flags"] {
  if (emulated === undefined) return flags;
  const all = components.map((component) => [component, { "emulated-version": emulated, ...flags[component] }]);
  return { ...flags, ...Object.fromEntries(all) };
}

function toOverrides(changes: FlagChanges): wire.FlagOverrides {
  // The entries are sorted, because the operation's id is derived from the state's bytes. Equal states must have the
  // same id.
  const entries = Object.entries(changes).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return {
    set: Object.fromEntries(entries.filter((entry): entry is [string, string] => entry[1] !== null)),
    remove: entries.filter(([, value]) => value === null).map(([flag]) => flag),
  };
}
