/** Adds a testbed's workers to the cluster as nodes. Automates labs 09 and 11. */
import { join } from "node:path";

import type { TestbedNode } from "../node.ts";
import type { Testbed } from "../testbed.ts";
import type { Workstation } from "../workstation.ts";
import { bootstrapFile, imagesFolder, type Joining, workerFiles, workerUnits } from "./files.ts";

/** The time limit for copying the images into containerd. */
const importTimeoutMs = 300_000;

/** How the workers' kubelets get their certificates. */
export interface JoinOptions {
  /** The path of a kubeconfig with a bootstrap token. By default, the kubelets get certificates as in lab 04. */
  readonly bootstrapKubeconfig?: string;
}

/**
 * Creates the workers' certificates and kubeconfigs. Starts containerd, the kubelet and kube-proxy on all workers. Adds
 * the routes to the pods. Resolves when the units are running; the nodes become Ready later.
 */
export async function joinWorkers(
  testbed: Testbed,
  { mustKhw }: Pick<Workstation, "mustKhw">,
  { bootstrapKubeconfig }: JoinOptions = {},
): Promise<void> {
  const names = testbed.workers.flatMap(({ name, address, externalAddress }) => [
    "--worker",
    `${name}=${address},${externalAddress}`,
  ]);
  const nodes = ["--nodes", testbed.nodes.map(({ name }) => name).join(",")];
  await mustKhw(["pki", "create", ...nodes, ...(bootstrapKubeconfig === undefined ? names : [])]);
  const { credentials } = testbed;
  await Promise.all(
    testbed.workers.map(async (worker) => {
      const own =
        bootstrapKubeconfig === undefined ? ownFiles(credentials, worker) : { [bootstrapFile]: bootstrapKubeconfig };
      for (const [path, file] of Object.entries(own)) await worker.copyIn(file, path);
      await setUpWorker(worker, credentials, bootstrapKubeconfig === undefined ? "certificates" : "token");
    }),
  );
  await testbed.setPodRoutes("add");
}

/** Returns the worker's own certificate, key and kubeconfig by their paths on the worker. */
function ownFiles(credentials: string, { name }: TestbedNode): Readonly<Record<string, string>> {
  return {
    [`/var/lib/kubelet/${name}.pem`]: join(credentials, `${name}.pem`),
    [`/var/lib/kubelet/${name}-key.pem`]: join(credentials, `${name}-key.pem`),
    "/var/lib/kubelet/kubeconfig": join(credentials, `${name}.kubeconfig`),
  };
}

/** Installs the other files of lab 09 on a worker, starts the units and imports the test images. */
async function setUpWorker(worker: TestbedNode, credentials: string, joining: Joining): Promise<void> {
  await worker.copyIn(join(credentials, "ca.pem"), "/var/lib/kubernetes/ca.pem");
  await worker.copyIn(join(credentials, "kube-proxy.kubeconfig"), "/var/lib/kube-proxy/kubeconfig");
  await worker.copyIn(join(import.meta.dirname, "machine.sh"), "/usr/local/lib/testbed-worker.sh");
  for (const [path, input] of Object.entries(workerFiles(worker, joining)))
    await worker.must(["sh", "-ec", 'mkdir -p "$(dirname "$0")" && cat >"$0"', path], { input });

  await worker.must(["systemctl", "daemon-reload"]);
  await worker.must(["systemctl", "enable", "--now", "testbed-worker", "containerd"]);
  const importAll = `for image in ${imagesFolder}/*.tar; do ctr -n k8s.io images import "$image"; done`;
  await worker.must(["sh", "-ec", importAll], { timeoutMs: importTimeoutMs });
  await worker.must(["systemctl", "enable", "--now", ...workerUnits]);
}
