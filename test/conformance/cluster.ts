/** Sets up the cluster for the tests. `bootstrap` sets up three controllers, and a worker joins the cluster. */
import { join } from "node:path";

import { openScene } from "../fixtures/faults.ts";
import type { Scene } from "../fixtures/faults.ts";
import { untilReady } from "../fixtures/workload.ts";
import { joinWorkers } from "../testbed/worker/join.ts";

/** A cluster with a Ready worker. Disposing of it takes the testbed down. */
export interface Cluster extends AsyncDisposable {
  readonly scene: Scene;
  /** The path of the kubeconfig that `khw-client kubeconfig` wrote. */
  readonly kubeconfig: string;
}

/** Boots the machines, sets up the control plane, and adds the worker to the cluster. */
export async function openCluster(): Promise<Cluster> {
  const scene = await openScene(3, "aggregation: true\n", { withEtcd: false, workers: 1 });
  try {
    const { testbed, workstation } = scene;
    await workstation.mustKhw(["pki", "create", "--nodes", testbed.nodes.map(({ name }) => name).join(",")]);
    const { code, stderr } = await scene.bootstrap();
    if (code !== 0) throw new Error(`bootstrap ended with ${code}: ${stderr}`);
    const kubeconfig = join(workstation.folder, "conformance.kubeconfig");
    await workstation.mustKhw(["kubeconfig", "--kubeconfig", kubeconfig, "--use"]);
    await joinWorkers(testbed, workstation);
    for (const { name } of testbed.workers) await untilReady(workstation, name);
    return { scene, kubeconfig, [Symbol.asyncDispose]: () => testbed.stop() };
  } catch (error) {
    await scene.testbed.stop();
    throw error;
  }
}
