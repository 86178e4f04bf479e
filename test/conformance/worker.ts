/**
 * Simulates the Ready node that the upstream tests require: a Node object whose lease is renewed, without a machine
 * behind it. The node has no room for pods, so the scheduler leaves every pod unscheduled. Deleting an unscheduled pod
 * requires no kubelet.
 */
import { setInterval } from "node:timers/promises";

import { succeeded } from "../testbed/command.ts";
import { realVersion } from "../testbed/workstation.ts";
import type { Workstation } from "../testbed/workstation.ts";

const name = "stand-in";
const leases = "kube-node-lease";
/**
 * The renewal interval, which is the same as a kubelet's. The controller manager considers a node lost after 40 s
 * without a renewal.
 */
const renewMillis = 10_000;
const leaseSeconds = 40;

/** A Node object that stays Ready until this value is disposed of. */
export interface Worker extends AsyncDisposable {
  /** The errors from failed renewals. */
  readonly failures: readonly string[];
}

/** Creates the Node and its lease, and keeps renewing them. */
export async function keepWorker(workstation: Workstation): Promise<Worker> {
  const create = async (object: unknown): Promise<void> => {
    const argv = ["create", "-f", "-"];
    succeeded(["kubectl", ...argv], await workstation.kubectl(argv, { input: JSON.stringify(object) }));
  };
  const now = new Date().toISOString();
  await create(nodeAt(now));
  await create({
    apiVersion: "coordination.k8s.io/v1",
    kind: "Lease",
    metadata: { name, namespace: leases },
    spec: { holderIdentity: name, leaseDurationSeconds: leaseSeconds, renewTime: micro(now) },
  });

  const failures: string[] = [];
  const ending = new AbortController();
  const renewing = renew();
  return {
    failures,
    [Symbol.asyncDispose]: async () => {
      ending.abort();
      await renewing;
    },
  };

  async function renew(): Promise<void> {
    const { signal } = ending;
    try {
      for await (const _ of setInterval(renewMillis, undefined, { signal })) {
        const patch = JSON.stringify({ spec: { renewTime: micro(new Date().toISOString()) } });
        const argv = ["patch", "lease", name, `--namespace=${leases}`, "--type=merge", `--patch=${patch}`];
        const { code, stderr } = await workstation.kubectl(argv, { signal });
        if (code !== 0) failures.push(stderr.trim());
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }
}

function nodeAt(now: string): unknown {
  const room = { cpu: "1", memory: "1Gi", "ephemeral-storage": "10Gi", pods: "0" };
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name, labels: { "kubernetes.io/hostname": name, "kubernetes.io/os": "linux" } },
    status: {
      capacity: room,
      allocatable: room,
      addresses: [{ type: "Hostname", address: name }],
      conditions: [
        { type: "Ready", status: "True", reason: "StandIn", lastHeartbeatTime: now, lastTransitionTime: now },
      ],
      // kubectl requires these fields.
      nodeInfo: {
        machineID: name,
        systemUUID: name,
        bootID: name,
        kernelVersion: "",
        osImage: "",
        containerRuntimeVersion: "",
        kubeletVersion: realVersion,
        kubeProxyVersion: realVersion,
        operatingSystem: "linux",
        architecture: "",
      },
    },
  };
}

/** Timestamps in a lease have microsecond precision. */
function micro(time: string): string {
  return time.replace("Z", "000Z");
}
