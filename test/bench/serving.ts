import type { Testbed } from "../testbed/index.ts";
import { secondsOf } from "./time.ts";

/** The durations of a bootstrap, in seconds. */
export interface Bootstrap {
  /** The time until every node and the public address answer. */
  readonly serving: number;
  /** The time until the last command has ended, including its checks. */
  readonly ended: number;
}

/**
 * Times a bootstrap. Whether khw or the lab's commands do the work, the same checks run from outside the nodes. Every
 * node's API server must answer through its nginx, and `/version` must answer on the public address.
 */
export async function timeBootstrap(testbed: Testbed, work: () => Promise<unknown>): Promise<Bootstrap> {
  const watching = new AbortController();
  try {
    const [serving, ended] = await Promise.all([secondsOf(untilServing(testbed, watching.signal)), secondsOf(work())]);
    return { serving, ended };
  } finally {
    // If the bootstrap has failed, the checks can never succeed.
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
