/**
 * Probes real components with the agent's own code. The code must determine whether a component is alive, and why a
 * live component cannot work.
 */
import t from "tap";

import { makeController } from "../fixtures/causes/machine.ts";
import { installDriver } from "../fixtures/drivers.ts";
import { scenario } from "../fixtures/faults.ts";
import type { Finding, Order } from "../fixtures/examination-driver.ts";
import { startTestbed } from "../testbed/index.ts";

/** This time is much longer than three probes take. After three failed probes, the agent restarts a component. */
const withoutEtcdSeconds = 40;

const testbed = await startTestbed({ nodes: 1 });
t.teardown(() => testbed.stop());
const [node] = testbed.nodes;
if (node === undefined) throw new Error("the testbed has no machine");

const [drive] = await Promise.all([installDriver(node, "examination-driver.ts"), makeController(testbed, node)]);
await node.must(["sh", "-ec", "systemctl daemon-reload; systemctl start kube-apiserver"]);

/** Probes once a second and returns each finding. */
async function findings(seconds: number, component = "kube-apiserver"): Promise<readonly Finding[]> {
  const order: Order = { component, seconds };
  const lines = (await drive(JSON.stringify(order), { timeoutMs: (seconds + 60) * 1000 })).trim().split("\n");
  return lines.map((line): Finding => JSON.parse(line));
}

async function untilFound(
  what: string,
  holds: (found: Finding) => boolean,
  component = "kube-apiserver",
): Promise<Finding> {
  const deadline = Date.now() + 90_000;
  for (;;) {
    const [found] = await findings(0, component);
    if (found !== undefined && holds(found)) return found;
    if (Date.now() > deadline)
      throw new Error(`timed out after 90 s waiting until ${what}; last finding: ${JSON.stringify(found)}`);
  }
}

const ask = async (path: string): Promise<string> => {
  const options = ["--silent", "--max-time", "5", "--output", "/dev/null", "--write-out", "%{http_code}"];
  const { stdout } = await node.run([
    "curl",
    ...options,
    "--cacert",
    "/var/lib/kubernetes/ca.pem",
    `https://127.0.0.1:6443${path}`,
  ]);
  return stdout;
};

await untilFound("the API server is healthy", ({ reason }) => reason === null);

await scenario(t, "an API server whose etcd is stopped is alive, but not ready", async (t) => {
  await node.must(["systemctl", "stop", "etcd"]);
  const all = await findings(withoutEtcdSeconds);
  t.strictSame(
    all.filter(({ liveness: life }) => life.kind !== "alive"),
    [],
    "the API server is never reported dead",
  );
  t.match(all.at(-1)?.reason, /failing: .*\betcd\b/);
  t.match(all.at(-1)?.ailment, { cause: "etcd-unreachable", message: /10\.240\.0\.10:2379/ });
  t.equal(await ask("/livez?exclude=etcd"), "200");
  t.equal(await ask("/livez"), "500", "/livez fails when etcd is not excluded");
  await node.must(["systemctl", "start", "etcd"]);
  await untilFound("the API server is healthy with etcd", ({ reason }) => reason === null);
});

await scenario(t, "an API server process is reported dead after SIGSTOP and alive after SIGCONT", async (t) => {
  const pid = (await node.must(["systemctl", "show", "--property=MainPID", "--value", "kube-apiserver"])).trim();
  await node.must(["kill", "-STOP", pid]);
  const found = await findings(0);
  t.match(found, [{ life: { kind: "dead", silent: true, reason: /^\/readyz does not answer/ } }]);
  await node.must(["kill", "-CONT", pid]);
  await untilFound(
    "the API server is healthy again",
    ({ liveness: life, reason }) => life.kind === "alive" && reason === null,
  );
});

/**
 * Returns shell code that issues a client certificate with this subject and embeds it in the kubeconfig. The
 * certificate is signed by the cluster's CA, or by its own key.
 */
const issued = (kubeconfig: string, subject: string, signedBy: string): string => `cd /root
openssl req -newkey rsa:2048 -nodes -subj ${subject} -keyout key.pem -out request.pem 2>/dev/null
openssl x509 -req -in request.pem ${signedBy} -days 30 -out certificate.pem 2>/dev/null
sed -i "s|client-certificate-data: .*|client-certificate-data: $(base64 -w0 certificate.pem)|
  s|client-key-data: .*|client-key-data: $(base64 -w0 key.pem)|" /var/lib/kubernetes/${kubeconfig}.kubeconfig`;
const byCluster = "-CA /var/lib/kubernetes/ca.pem -CAkey /var/lib/kubernetes/ca-key.pem -CAcreateserial";

const ailing = [
  {
    what: "whose certificate has another name",
    component: "kube-scheduler",
    script: issued("kube-scheduler", "/CN=mallory", byCluster),
    expected: { cause: "client-forbidden", message: /mallory/ },
  },
  {
    what: "whose certificate is from a CA that the API server does not know",
    component: "kube-controller-manager",
    script: issued("kube-controller-manager", "/CN=system:kube-controller-manager", "-signkey key.pem"),
    expected: { cause: "client-unauthorized" },
  },
  {
    what: "whose kubeconfig names a server that does not exist",
    component: "kube-controller-manager",
    script: "sed -i s,127.0.0.1:6443,127.0.0.1:6444, /var/lib/kubernetes/kube-controller-manager.kubeconfig",
    expected: { cause: "api-server-unreachable", lines: [/:6444: connect: connection refused/] },
  },
] as const;

for (const { what, component, script, expected } of ailing) {
  await scenario(t, `a ${component} ${what} reports itself healthy, but the agent diagnoses the cause`, async (t) => {
    const own = `/var/lib/kubernetes/${component}.kubeconfig`;
    await node.must(["sh", "-ec", `cp ${own} /root/own\n${script}\nsystemctl start ${component}`]);
    const found = await untilFound(
      `the cause is found for a ${component} ${what}`,
      ({ ailment }) => ailment !== undefined,
      component,
    );
    t.match(found, { life: { kind: "alive" }, reason: null, ailment: expected });
    await node.must(["sh", "-ec", `systemctl stop ${component}; mv /root/own ${own}`]);
  });
}
