import { certificates } from "./causes/certificates.ts";
import { etcdServer } from "./causes/etcd.ts";
import { flags } from "./causes/flags.ts";
import { clients } from "./causes/clients.ts";
import { machine, ends } from "./causes/machine.ts";
import { nginx } from "./causes/nginx.ts";
import { apiServer, etcdClient } from "./causes/kube-apiserver.ts";
import type { Cause } from "./evidence.ts";

/**
 * Every known cause, in search order. Faults of the machine come before a program's messages, specific messages before
 * general ones. The way a process exited comes last, because it is only a consequence of the other causes.
 */
export const causes: readonly Cause[] = [
  ...machine,
  ...flags,
  ...nginx,
  ...etcdServer,
  ...etcdClient,
  ...apiServer,
  ...clients,
  ...certificates,
  ...ends,
];
