/** A machine and a workstation that can be reset to the start of a bootstrap any number of times. */
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";

import { given } from "../fixtures/given.ts";
import { must } from "../testbed/command.ts";
import { noCredentials, startTestbed, type Testbed, type TestbedNode } from "../testbed/index.ts";
import { diskFolder } from "../testbed/layout.ts";
import { prepare } from "../testbed/prepare.ts";
import { agentPackage, installPackage, makeBareWorkstation, type Workstation } from "../testbed/workstation.ts";
import { freshDisk, type Layers, setAside } from "./layers.ts";
import { machineTree } from "./machine-tree.ts";
import { below, type Digests, readTree, type Tree } from "./tree.ts";

const identityFolder = "etc/khw-agent/pki";
const managementFolder = "khw-pki";

/** The copies of all keys and certificates that a bootstrap creates or uses. */
export interface Certificates {
  /** A layer of the machine's disk that contains the agent's identity. */
  readonly layer: string;
  readonly management: string;
  readonly credentials: string;
}

/** A machine and a workstation. Disposing of the stage takes the testbed down. */
export interface Stage extends AsyncDisposable {
  readonly testbed: Testbed;
  readonly workstation: Workstation;
  readonly node: TestbedNode;
  /**
   * Resets the cloud and the workstation, and boots the machine with only the package. With `certificates`, restores
   * these certificates on the machine and the workstation. Resolves when the agent is listening.
   */
  reset(certificates?: Certificates): Promise<void>;
  /** Copies the current certificates of the machine and the workstation. */
  copyCertificates(): Promise<Certificates>;
  /** Returns everything on the machine's disk, and the state that khw keeps in memory. Stops the agent first. */
  machineTree(): Promise<Tree>;
  /** Returns the workstation's folder and its credentials. */
  workstationTree(): Promise<Tree>;
}

export async function openStage(): Promise<Stage> {
  const testbed = await startTestbed({ nodes: 1, withEtcd: false, credentials: noCredentials });
  try {
    const [node] = testbed.nodes;
    if (node === undefined) throw new Error("the testbed has no machine");
    const workstation = await makeBareWorkstation(testbed);
    await installPackage([node], agentPackage);
    await node.must(["systemctl", "stop", "khw-agent.service"]);
    await node.powerOff();
    const { base } = await prepare("bookworm");
    const layer = await setAside(testbed, node, "bare");
    // The agent generated the key for its certificate request when the package was installed. The key is removed, so
    // that the agent generates a new key at its first start from each fresh disk.
    await rm(join(layer, identityFolder, "agent-key.pem.next"));
    const bare = [layer, base];
    return stageOf({ testbed, node, workstation, bare });
  } catch (error) {
    await testbed.stop();
    throw error;
  }
}

interface Parts extends Pick<Stage, "testbed" | "node" | "workstation"> {
  readonly bare: Layers;
}

function stageOf({ testbed, node, workstation, bare }: Parts): Stage {
  const digests: Digests = new Map();
  const management = join(workstation.folder, managementFolder);
  const copies = join(diskFolder(testbed.id), "copy-");

  return {
    testbed,
    workstation,
    node,
    reset: async (certificates) => {
      await node.powerOff();
      await freshDisk(testbed, node, certificates === undefined ? bare : [certificates.layer, ...bare]);
      for (const folder of [management, testbed.credentials]) await rm(folder, { recursive: true, force: true });
      if (certificates === undefined) await noCredentials(testbed.credentials);
      else {
        await must(["cp", "--archive", certificates.management, management]);
        await must(["cp", "--archive", certificates.credentials, testbed.credentials]);
      }
      await testbed.compute.changeState({ reset: true });
      await node.powerOn();
      await agentListens(node);
    },
    copyCertificates: async () => {
      const folder = await mkdtemp(copies);
      const [layer, own, cluster] = [join(folder, "layer"), join(folder, "management"), join(folder, "credentials")];
      await mkdir(layer);
      await must(["cp", "--archive", "--parents", identityFolder, layer], { cwd: node.root });
      await must(["cp", "--archive", management, own]);
      await must(["cp", "--archive", testbed.credentials, cluster]);
      return { layer, management: own, credentials: cluster };
    },
    machineTree: () => machineTree(node, digests),
    workstationTree: async () => {
      const folder = await readTree(workstation.folder, digests);
      const credentials = await readTree(testbed.credentials, digests);
      return new Map([...folder, ...below("credentials", credentials)]);
    },
    [Symbol.asyncDispose]: () => testbed.stop(),
  };
}

/**
 * Resolves when the agent has reported to systemd that it is listening. With `other`, waits until the agent's process
 * ID differs from `other`.
 */
export async function agentListens(node: TestbedNode, other?: string): Promise<void> {
  await given(`${node.name}'s agent listens`, async () => {
    const { stdout } = await node.run(["systemctl", "show", "--property=ActiveState,MainPID", "khw-agent.service"]);
    return stdout.includes("ActiveState=active") && agentPid(stdout) !== other ? true : undefined;
  });
}

function agentPid(shown: string): string | undefined {
  return /^MainPID=(\d+)$/m.exec(shown)?.[1];
}
