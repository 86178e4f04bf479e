import { certificates } from "./causes/certificates.ts";
import { etcdServer } from "./causes/etcd.ts";
import { flags } from "./causes/flags.ts";
import { clients } from "./causes/clients.ts";
import { machine, ends } from "./causes/machine.ts";
import { nginx } from "./causes/nginx.ts";
import { apiServer, etcdClient, kmsPlugin } from "./causes/kube-apiserver.ts";
import type { Cause } from "./evidence.ts";

/**
 * All known causes, in search order. Faults of the machine come before faults that a program reports, and specific
 * messages before general ones. Causes based on how a process exited come last, because the exit is only a consequence.
 */
export const causes: readonly Cause[] = [
  ...machine,
  ...flags,
  ...nginx,
  ...etcdServer,
  ...etcdClient,
  ...apiServer,
  ...kmsPlugin,
  ...clients,
  ...certificates,
  ...ends,
];
