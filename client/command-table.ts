import type { CommandSpec } from "./command-spec.ts";
import { clientCommands } from "./command-table/client.ts";
import { encryptionCommands } from "./command-table/encryption.ts";
import { etcdCommands } from "./command-table/etcd.ts";
import { identityCommands } from "./command-table/identities.ts";
import { installCommands } from "./command-table/install.ts";
import { loadBalancerCommands } from "./command-table/lb.ts";
import { nodeCommands } from "./command-table/nodes.ts";

/** The families of commands: the first of two words. */
export const families: Readonly<Record<string, string>> = {
  lb: "the load balancer alone",
  encryption: "the keys that Kubernetes encrypts Secrets with in etcd",
  pki: "the cluster's certificates, and the authority over who may command the agents",
  config: "what khw.yaml may hold",
  etcd: "the cluster's etcd: how it is, snapshots, restore",
};

/** Every command, in the order of the help. */
export const commands: readonly CommandSpec[] = [
  ...nodeCommands,
  ...encryptionCommands,
  ...loadBalancerCommands,
  ...identityCommands,
  ...installCommands,
  ...etcdCommands,
  ...clientCommands,
];
