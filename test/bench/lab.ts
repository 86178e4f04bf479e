/** Bootstraps the control plane with the lab's commands, first on all nodes in parallel and then on the workstation. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";

import { credentialNames } from "../../proto/components.ts";
import { gcloudEnvironment } from "../testbed/gcloud.ts";
import type { Testbed, TestbedNode } from "../testbed/index.ts";
import { labScript } from "./lab-script.ts";
import { type Bootstrap, timeBootstrap } from "./serving.ts";

/** The path of the gcloud program on the workstation. The lab's commands need gcloud. */
export const gcloud = "/usr/bin/gcloud";

const timeoutMs = 900_000;

/**
 * Runs all of lab 08 on a new testbed. The files of labs 04 to 06 are already on the nodes when the measurement starts.
 */
export async function runLab(testbed: Testbed): Promise<Bootstrap> {
  const config = join(testbed.folder, "gcloud");
  await mkdir(config, { recursive: true });
  const env = gcloudEnvironment(testbed.computeUrl, config);
  await Promise.all(testbed.nodes.map((node) => bringFiles(node, testbed.credentials)));
  const script = labScript(testbed.secondMirrorUrl);
  const onWorkstation = (text: string): Promise<string> =>
    testbed.must(["bash", "-c", text], { env, cwd: testbed.credentials, timeoutMs });

  return timeBootstrap(testbed, async () => {
    await Promise.all(
      testbed.nodes.map(async (node) => {
        const known = await onNode(node, `${script.download}\ndeclare -p INTERNAL_IP REGION`);
        // The testbed's machines are too small for gcloud. Therefore the workstation makes the machines' three gcloud
        // calls.
        const address = await onWorkstation(`${known}\n${script.address}\ndeclare -p KUBERNETES_PUBLIC_ADDRESS`);
        await onNode(node, [known, address, script.install].join("\n"));
      }),
    );
    const [first] = testbed.nodes;
    if (first !== undefined) await onNode(first, script.rbac);
    await onWorkstation(script.loadBalancer);
  });
}

async function onNode(node: TestbedNode, text: string): Promise<string> {
  const { code, stdout, stderr } = await node.run(["bash", "-c", `cd\n${text}`], {
    timeoutMs,
    env: { DEBIAN_FRONTEND: "noninteractive" },
  });
  // The error contains only the last lines. Otherwise, wget's progress output would hide the reason.
  if (code !== 0) throw new Error(`${node.name}: exit status ${code}: ${stderr.split("\n").slice(-10).join("\n")}`);
  return stdout;
}

async function bringFiles(node: TestbedNode, folder: string): Promise<void> {
  for (const name of [...credentialNames, "admin.kubeconfig"]) {
    await node.copyIn(join(folder, name), `/root/${name}`);
  }
}
