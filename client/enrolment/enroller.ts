import { dirname } from "node:path";
import type { OpenCluster } from "../cluster/open.ts";
import { computeConnection } from "../config/load-balancer.ts";
import { type NodeAddress, readManagementIdentity } from "../cluster/channel.ts";
import { openSigner } from "../pki/management/sign-agent.ts";
import { enrolNode } from "./enrol.ts";
import { readKeySet } from "./jwks.ts";

export interface EnrollerOptions {
  readonly say: (node: string, text: string) => void;
  readonly signal: AbortSignal;
}

/** Enrols a node; returns a description of its certificate's state. */
export type Enroller = (address: NodeAddress) => Promise<string>;

/** Opens the management CA, Google's keys and the Compute API for enrolment. All nodes share them. */
export async function openEnroller(
  { config, cloud, instances }: Pick<OpenCluster, "config" | "cloud" | "instances">,
  { say, signal }: EnrollerOptions,
): Promise<Enroller> {
  if (cloud === undefined) throw new TypeError("no Compute API");
  const { management, enrolment, timeouts } = config;
  const [identity, signer, keys] = await Promise.all([
    readManagementIdentity(management),
    openSigner({ folder: dirname(management.ca), days: enrolment.days }),
    readKeySet(enrolment.jwks, signal),
  ]);
  const { project } = computeConnection(config);
  const shared = { compute: cloud.compute, project, identity, signer, keys, waitMillis: timeouts.node, signal };
  return async (address) => {
    const { zone = "" } = instances.find(({ name }) => name === address.name) ?? {};
    return enrolNode({ address, zone }, { ...shared, say: (text) => say(address.name, text) });
  };
}
