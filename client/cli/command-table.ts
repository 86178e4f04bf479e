import type { CommandSpec } from "./command.ts";
import { clientCommands } from "./families/client.ts";
import { encryptionCommands } from "./families/encryption.ts";
import { etcdCommands } from "./families/etcd.ts";
import { identityCommands } from "./families/identities.ts";
import { installCommands } from "./families/install.ts";
import { loadBalancerCommands } from "./families/lb.ts";
import { nodeCommands } from "./families/nodes.ts";

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
