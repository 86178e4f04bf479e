/** Provides the handle of a running testbed, in the process that started the testbed or in a later process. */
import { join } from "node:path";

import { run, succeeded } from "./command.ts";
import type { RunOptions, RunResult } from "./command.ts";
import { connectControl as connectCompute } from "./compute/control.ts";
import type { ComputeControl } from "./compute/control.ts";
import * as layout from "./layout.ts";
import { setPodRoutes } from "./network.ts";
import { nodeAt } from "./node.ts";
import type { TestbedNode } from "./node.ts";
import { destroy, recordOf } from "./record.ts";
import type { TestbedRecord } from "./record.ts";
import { connectControl } from "./servers/control.ts";
import type { ServerControl } from "./servers/control.ts";
import { controlSocket } from "./servers.ts";

/** A running testbed. Disposing of it stops the testbed. */
export interface Testbed extends AsyncDisposable {
  readonly id: string;
  /**
   * The state folder (mode 0700), which contains sockets, logs, consoles and credentials. {@link stop} deletes the
   * folder.
   */
  readonly folder: string;
  /** The controllers: controller-0, controller-1 and so on, at 10.240.0.10, 10.240.0.11 and so on. */
  readonly nodes: readonly TestbedNode[];
  /** The workers: worker-0 and so on, at 10.240.0.20 and so on. `worker/join.ts` makes them nodes of the cluster. */
  readonly workers: readonly TestbedNode[];
  /** The load balancer's static address. */
  readonly publicAddress: string;
  /**
   * The release mirror's base URL, which works on the machines and on the workstation. Programs are at
   * `.../VERSION/bin/linux/ARCH/NAME` below it.
   */
  readonly mirrorUrl: string;
  /**
   * The base URL of the same releases under the path of the labs' mirror. It is the second mirror in tests with a list
   * of mirrors.
   */
  readonly secondMirrorUrl: string;
  /** The base URL of the etcd releases. They are at `.../VERSION/etcd-VERSION-linux-ARCH.tar.gz` below it. */
  readonly etcdMirrorUrl: string;
  /** The TLS URLs of both mirrors. They work only if the testbed was started with `tlsMirror`. */
  readonly tlsMirrorUrl: string;
  readonly tlsEtcdMirrorUrl: string;
  /** The path of the CA certificate that verifies the mirror's certificate. */
  readonly mirrorCa: string;
  /** The folder on this host that contains the etcd releases. */
  readonly etcd: string;
  /** Whether the machines had an etcd cluster from the start. */
  readonly withEtcd: boolean;
  /** The Compute Engine API's base URL, which works on the machines and on the workstation. */
  readonly computeUrl: string;
  /** The folder with this cluster's files from labs 04 to 06, including `admin.kubeconfig`. */
  readonly credentials: string;
  /** The folder on this host that contains the Kubernetes releases, for example `v1.21.0/kubectl`. */
  readonly kubernetes: string;
  /**
   * The clients for the servers' control sockets. They set faults and return the requests that a server has received.
   */
  readonly metadata: ServerControl;
  readonly mirror: ServerControl;
  readonly packages: ServerControl;
  readonly compute: ComputeControl;
  /** Adds or deletes the network's routes to the pods on the workers (lab 11). Initially, there are no routes. */
  setPodRoutes(action: "add" | "delete"): Promise<void>;
  /**
   * Runs a command on the workstation, which has this host's files and the bridge's network. A non-zero exit status is
   * a result, not an error.
   */
  run(argv: readonly string[], options?: RunOptions): Promise<RunResult>;
  /** Runs a command on the workstation and returns its standard output. Throws if the command fails. */
  must(argv: readonly string[], options?: RunOptions): Promise<string>;
  /** Ends all processes and removes all resources of the testbed. A second call has no effect. */
  stop(): Promise<void>;
}

/** Returns the handle of the testbed with this name, or undefined if it does not exist. */
export async function findTestbed(name: string): Promise<Testbed | undefined> {
  const record = await recordOf(name);
  return record && testbedOf(record);
}

/** Returns the folder of a testbed's credentials. */
export function credentialsFolder(id: string): string {
  return join(layout.stateFolder(id), "credentials");
}

/** Returns the handle of the testbed to which the record belongs. */
export function testbedOf(record: Omit<TestbedRecord, "keep" | "owner" | "bootId">): Testbed {
  const { id, nodes, kubernetes, etcd, withEtcd } = record;
  const network = `--net=${layout.namespacePath(layout.namespaceOf(id))}`;
  const machines = nodes.map((place) => nodeAt(id, place));
  const testbed: Testbed = {
    id,
    folder: layout.stateFolder(id),
    nodes: machines.filter(({ podCidr }) => podCidr === undefined),
    workers: machines.filter(({ podCidr }) => podCidr !== undefined),
    publicAddress: layout.publicAddress,
    mirrorUrl: `http://${layout.gateway}:${layout.ports.mirror}/release`,
    secondMirrorUrl: `http://${layout.gateway}:${layout.ports.mirror}/kubernetes-release/release`,
    etcdMirrorUrl: `http://${layout.gateway}:${layout.ports.mirror}/etcd-io/etcd/releases/download`,
    tlsMirrorUrl: `https://${layout.gateway}:${layout.ports.tlsMirror}/release`,
    tlsEtcdMirrorUrl: `https://${layout.gateway}:${layout.ports.tlsMirror}/etcd-io/etcd/releases/download`,
    mirrorCa: join(layout.mirrorIdentityFolder(id), "ca.pem"),
    computeUrl: `http://${layout.gateway}:${layout.ports.compute}/compute/v1/`,
    credentials: credentialsFolder(id),
    kubernetes,
    etcd,
    withEtcd,
    metadata: connectControl(controlSocket(id, "metadata")),
    mirror: connectControl(controlSocket(id, "mirror")),
    packages: connectControl(controlSocket(id, "packages")),
    compute: connectCompute(controlSocket(id, "compute")),
    setPodRoutes: async (action) => setPodRoutes(id, testbed.workers, action),
    run: async (argv, options) => run(["nsenter", network, "--", ...argv], options),
    must: async (argv, options) => succeeded(argv, await testbed.run(argv, options)),
    stop: async () => destroy(record),
    [Symbol.asyncDispose]: async () => testbed.stop(),
  };
  return testbed;
}
