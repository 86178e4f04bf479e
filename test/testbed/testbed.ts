/** A running testbed's handle, in the process that started it or in a later one. */
import { join } from "node:path";

import { run, succeeded } from "./command.ts";
import type { RunOptions, RunResult } from "./command.ts";
import { connectControl as connectCompute } from "./compute/control.ts";
import type { ComputeControl } from "./compute/control.ts";
import * as layout from "./layout.ts";
import { nodeAt } from "./node.ts";
import type { TestbedNode } from "./node.ts";
import { destroy, recordOf } from "./record.ts";
import type { TestbedRecord } from "./record.ts";
import { connectControl } from "./servers/control.ts";
import type { ServerControl } from "./servers/control.ts";
import { controlSocket } from "./servers.ts";

/** A running testbed. Disposing of it stops it. */
export interface Testbed extends AsyncDisposable {
  readonly id: string;
  /** Its state folder, mode 0700: sockets, logs, consoles, credentials. Gone after {@link stop}. */
  readonly folder: string;
  /** controller-0 and on, at 10.240.0.10 and on. */
  readonly nodes: readonly TestbedNode[];
  /** The load balancer's static address. */
  readonly publicAddress: string;
  /** The release mirror's base URL, from machines and workstation alike: `.../VERSION/bin/linux/ARCH/NAME` is below it. */
  readonly mirrorUrl: string;
  /** The same releases at the path of the labs' mirror: a second one for lists of mirrors. */
  readonly secondMirrorUrl: string;
  /** The base URL of etcd's releases: `.../VERSION/etcd-VERSION-linux-ARCH.tar.gz` is below it. */
  readonly etcdMirrorUrl: string;
  /** The folder of these on this machine. */
  readonly etcd: string;
  /** Whether the machines had an etcd cluster from the start. */
  readonly withEtcd: boolean;
  /** The Compute Engine API's base URL, from machines and workstation alike. */
  readonly computeUrl: string;
  /** The folder with this cluster's files of labs 04 to 06, `admin.kubeconfig` among them. */
  readonly credentials: string;
  /** The folder of the Kubernetes releases on this machine: `v1.21.0/kubectl` is in it. */
  readonly kubernetes: string;
  /** Remote controls of the servers: what they do wrong, what they were asked. */
  readonly metadata: ServerControl;
  readonly mirror: ServerControl;
  readonly packages: ServerControl;
  readonly compute: ComputeControl;
  /** Runs a command on the workstation: this machine's files, the bridge's network. A non-zero status is a result. */
  run(argv: readonly string[], options?: RunOptions): Promise<RunResult>;
  /** Runs a command on the workstation that must succeed, and gives its standard output. */
  must(argv: readonly string[], options?: RunOptions): Promise<string>;
  /** Ends all its processes and removes all it made. A second call is harmless. */
  stop(): Promise<void>;
}

/** The handle of the testbed of this name, or undefined when there is none. */
export async function findTestbed(name: string): Promise<Testbed | undefined> {
  const record = await recordOf(name);
  return record && testbedOf(record);
}

/** The folder of a testbed's credentials. */
export function credentialsFolder(id: string): string {
  return join(layout.stateFolder(id), "credentials");
}

/** The handle of a testbed that has a record. */
export function testbedOf(record: Omit<TestbedRecord, "keep" | "owner" | "bootId">): Testbed {
  const { id, nodes, kubernetes, etcd, withEtcd } = record;
  const network = `--net=${layout.namespacePath(layout.namespaceOf(id))}`;
  const testbed: Testbed = {
    id,
    folder: layout.stateFolder(id),
    nodes: nodes.map((place) => nodeAt(id, place)),
    publicAddress: layout.publicAddress,
    mirrorUrl: `http://${layout.gateway}:${layout.ports.mirror}/release`,
    secondMirrorUrl: `http://${layout.gateway}:${layout.ports.mirror}/kubernetes-release/release`,
    etcdMirrorUrl: `http://${layout.gateway}:${layout.ports.mirror}/etcd-io/etcd/releases/download`,
    computeUrl: `http://${layout.gateway}:${layout.ports.compute}/compute/v1/`,
    credentials: credentialsFolder(id),
    kubernetes,
    etcd,
    withEtcd,
    metadata: connectControl(controlSocket(id, "metadata")),
    mirror: connectControl(controlSocket(id, "mirror")),
    packages: connectControl(controlSocket(id, "packages")),
    compute: connectCompute(controlSocket(id, "compute")),
    run: async (argv, options) => run(["nsenter", network, "--", ...argv], options),
    must: async (argv, options) => succeeded(argv, await testbed.run(argv, options)),
    stop: async () => destroy(record),
    [Symbol.asyncDispose]: async () => testbed.stop(),
  };
  return testbed;
}
