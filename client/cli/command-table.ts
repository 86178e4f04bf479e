import type { CommandSpec } from "./command.ts";
import { agentCommands } from "./families/agent.ts";
import { clientCommands } from "./families/client.ts";
import { encryptionCommands } from "./families/encryption.ts";
import { etcdCommands } from "./families/etcd.ts";
import { identityCommands } from "./families/identities.ts";
import { installCommands } from "./families/install.ts";
import { loadBalancerCommands } from "./families/lb.ts";
import { nodeCommands } from "./families/nodes.ts";
import { workerCommands } from "./families/workers.ts";

/** The first words of two-word commands, with their help. */
export const families: Readonly<Record<string, string>> = {
  agent: "upgrade the agents themselves",
  lb: "create, show and delete the load balancer on its own",
  encryption: "show and replace the key that encrypts Secrets in etcd",
  pki: "manage the cluster's certificates, and the identities of agents and their callers",
  token: "create tokens with which workers join",
  worker: "approve the serving certificates of workers",
  config: "print the keys and defaults of khw.yaml",
  etcd: "show, snapshot, restore and defragment etcd",
};

/** Every command, in the order in which the help lists them. */
export const commands: readonly CommandSpec[] = [
  ...nodeCommands,
  ...agentCommands,
  ...encryptionCommands,
  ...loadBalancerCommands,
  ...identityCommands,
  ...workerCommands,
  ...installCommands,
  ...etcdCommands,
  ...clientCommands,
];
