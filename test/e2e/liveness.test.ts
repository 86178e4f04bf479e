/** Whether an API server lives, by the agent's own code and the real thing: without etcd it does, hung it does not. */
import t from "tap";

import { makeController } from "../fixtures/causes/machine.ts";
import { installDriver } from "../fixtures/drivers.ts";
import { scenario } from "../fixtures/faults.ts";
import type { Finding } from "../fixtures/liveness-driver.ts";
import { startTestbed } from "../testbed/index.ts";

/** Far longer than three beats, after which what does not live is restarted. */
const withoutEtcdSeconds = 40;

const testbed = await startTestbed({ nodes: 1 });
t.teardown(() => testbed.stop());
const [node] = testbed.nodes;
if (node === undefined) throw new Error("the testbed has no machine");

const [drive] = await Promise.all([installDriver(node, "liveness-driver.ts"), makeController(testbed, node)]);
await node.must(["sh", "-ec", "systemctl daemon-reload; systemctl start kube-apiserver"]);

/** What is found on each look, once a second. */
async function findings(seconds: number): Promise<readonly Finding[]> {
  const lines = (await drive(String(seconds), { timeoutMs: (seconds + 60) * 1000 })).trim().split("\n");
  return lines.map((line): Finding => JSON.parse(line));
}

async function untilFound(what: string, holds: (found: Finding) => boolean): Promise<Finding> {
  const deadline = Date.now() + 90_000;
  for (;;) {
    const [found] = await findings(0);
    if (found !== undefined && holds(found)) return found;
    if (Date.now() > deadline) throw new Error(`${what}: ${JSON.stringify(found)}`);
  }
}

const ask = async (path: string): Promise<string> => {
  const { stdout } = await node.run([
    "curl",
    "--silent",
    "--max-time=5",
    "--output=/dev/null",
    "--write-out=%{http_code}",
    "--cacert=/var/lib/kubernetes/ca.pem",
    `https://127.0.0.1:6443${path}`,
  ]);
  return stdout;
};

await untilFound("it is well", ({ reason }) => reason === null);

await scenario(t, "an API server whose etcd is stopped lives, and is not ready", async (t) => {
  await node.must(["systemctl", "stop", "etcd"]);
  const all = await findings(withoutEtcdSeconds);
  t.strictSame(
    all.filter(({ life }) => life.kind !== "alive"),
    [],
    "it is never called dead",
  );
  t.match(all.at(-1)?.reason, /failing: .*\betcd\b/);
  t.equal(await ask("/livez?exclude=etcd"), "200");
  t.equal(await ask("/livez"), "500", "it is the exclusion that tells");
  await node.must(["systemctl", "start", "etcd"]);
  await untilFound("it is well with etcd", ({ reason }) => reason === null);
});

await scenario(t, "an API server that hangs does not live, and one that goes on does", async (t) => {
  const pid = (await node.must(["systemctl", "show", "--property=MainPID", "--value", "kube-apiserver"])).trim();
  await node.must(["kill", "-STOP", pid]);
  const found = await findings(0);
  t.match(found, [{ life: { kind: "dead", silent: true, reason: /^\/readyz does not answer/ } }]);
  await node.must(["kill", "-CONT", pid]);
  await untilFound("it is well again", ({ life, reason }) => life.kind === "alive" && reason === null);
});
