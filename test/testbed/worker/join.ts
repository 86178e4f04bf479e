/** Makes a testbed's workers nodes of the cluster: labs 09 and 11 as a script. */
import { join } from "node:path";

import type { TestbedNode } from "../node.ts";
import type { Testbed } from "../testbed.ts";
import type { Workstation } from "../workstation.ts";
import { imagesFolder, workerFiles, workerUnits } from "./files.ts";

/** The time limit for copying the images into containerd. */
const importTimeoutMs = 300_000;

/**
 * Creates the workers' certificates and kubeconfigs, starts containerd, the kubelet and kube-proxy on all workers, and
 * adds the routes to the pods. Resolves when the units are running; the nodes become Ready later.
 */
export async function joinWorkers(testbed: Testbed, { mustKhw }: Pick<Workstation, "mustKhw">): Promise<void> {
  const names = testbed.workers.flatMap(({ name, address, externalAddress }) => [
    "--worker",
    `${name}=${address},${externalAddress}`,
  ]);
  await mustKhw(["pki", "create", ...nodesFlag(testbed), ...names]);
  await Promise.all(testbed.workers.map((worker) => setUpWorker(worker, testbed.credentials)));
  await testbed.setPodRoutes("add");
}

function nodesFlag({ nodes }: Testbed): readonly string[] {
  return ["--nodes", nodes.map(({ name }) => name).join(",")];
}

/** Installs the files of lab 09 on a worker, starts the units and imports the test images. */
async function setUpWorker(worker: TestbedNode, credentials: string): Promise<void> {
  const { name } = worker;
  const copies = {
    "ca.pem": "/var/lib/kubernetes/ca.pem",
    [`${name}.pem`]: `/var/lib/kubelet/${name}.pem`,
    [`${name}-key.pem`]: `/var/lib/kubelet/${name}-key.pem`,
    [`${name}.kubeconfig`]: "/var/lib/kubelet/kubeconfig",
    "kube-proxy.kubeconfig": "/var/lib/kube-proxy/kubeconfig",
  };
  for (const [file, path] of Object.entries(copies)) await worker.copyIn(join(credentials, file), path);
  await worker.copyIn(join(import.meta.dirname, "machine.sh"), "/usr/local/lib/testbed-worker.sh");
  for (const [path, input] of Object.entries(workerFiles(worker)))
    await worker.must(["sh", "-ec", 'mkdir -p "$(dirname "$0")" && cat >"$0"', path], { input });

  await worker.must(["systemctl", "daemon-reload"]);
  await worker.must(["systemctl", "enable", "--now", "testbed-worker", "containerd"]);
  const importAll = `for image in ${imagesFolder}/*.tar; do ctr -n k8s.io images import "$image"; done`;
  await worker.must(["sh", "-ec", importAll], { timeoutMs: importTimeoutMs });
  await worker.must(["systemctl", "enable", "--now", ...workerUnits]);
}
