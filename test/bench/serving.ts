import type { Testbed } from "../testbed/index.ts";
import { secondsOf } from "./time.ts";

/** Seconds of one way to the control plane. */
export interface Bootstrap {
  /** Until every node and the public address answer. */
  readonly serving: number;
  /** Until the last command has ended, whatever it verifies. */
  readonly ended: number;
}

/**
 * Times a way to the control plane. Both sides of the bench are held to the same end, seen from outside by the same eyes: every
 * node's API server answers through its nginx, and the version comes through the public address.
 */
export async function timeBootstrap(testbed: Testbed, work: () => Promise<unknown>): Promise<Bootstrap> {
  const watching = new AbortController();
  try {
    const [serving, ended] = await Promise.all([secondsOf(untilServing(testbed, watching.signal)), secondsOf(work())]);
    return { serving, ended };
  } finally {
    // Where the work failed there is nothing to wait for.
    watching.abort();
  }
}

const script = `
for node; do
  until [ "$(curl -sm 2 -H 'Host: kubernetes.default.svc.cluster.local' "http://$node/healthz")" = ok ]; do sleep 0.2; done
done
until curl -sm 2 --cacert ca.pem "https://$address:6443/version" | grep -q gitVersion; do sleep 0.2; done`;

async function untilServing(testbed: Testbed, signal: AbortSignal): Promise<void> {
  const { nodes, credentials, publicAddress } = testbed;
  await testbed.must(["bash", "-c", script, "bash", ...nodes.map(({ address }) => address)], {
    env: { address: publicAddress },
    cwd: credentials,
    timeoutMs: 900_000,
    signal,
  });
}
