import { certificates } from "./causes/certificates.ts";
import { etcdServer } from "./causes/etcd.ts";
import { flags } from "./causes/flags.ts";
import { clients } from "./causes/clients.ts";
import { machine, ends } from "./causes/machine.ts";
import { nginx } from "./causes/nginx.ts";
import { apiServer, etcdClient } from "./causes/kube-apiserver.ts";
import type { Cause } from "./evidence.ts";

/**
 * Every cause that is known, in the order in which they are looked for: what the machine refuses before what a program says of
 * it, a program's own particular words before general ones, and how a process ended last, since that follows from the rest.
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
