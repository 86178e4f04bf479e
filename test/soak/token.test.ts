/** Tests a worker that joins with a bootstrap token, and requests its certificates from the cluster. */
import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";

import t from "tap";

import { failsWith, openScene, scenario } from "../fixtures/faults.ts";
import { given } from "../fixtures/given.ts";
import { failuresOf, kubeletUses, startWorkloads, untilReady } from "../fixtures/workload.ts";
import { joinWorkers } from "../testbed/worker/join.ts";

t.test("a worker joins with a token", async (t) => {
  await using scene = await openScene(1, "tlsBootstrap: true\n", { withEtcd: false, workers: 1 });
  const { testbed, workstation, bootstrap } = scene;
  const [worker] = testbed.workers;
  if (worker === undefined) throw new Error("the testbed has no worker");
  const first = await bootstrap();
  t.equal(first.code, 0, first.stdout + first.stderr);
  const bootstrapKubeconfig = join(workstation.folder, "bootstrap-kubeconfig");
  const kubectl = async (...args: readonly string[]) => workstation.kubectl(args);
  const uses = kubeletUses(testbed, workstation);

  await scenario(t, "the kubelet gets a client certificate, and the node is Ready", async (t) => {
    const create = ["token", "create", "--expires", "30m", "--kubeconfig", bootstrapKubeconfig];
    t.comment(await workstation.mustKhw(create));
    t.equal((await stat(bootstrapKubeconfig)).mode & 0o777, 0o600);
    await joinWorkers(testbed, workstation, { bootstrapKubeconfig });
    t.comment(`Ready ${(await untilReady(workstation, worker.name)).toFixed(1)} s after the kubelet's start`);
    const current = "/var/lib/kubelet/pki/kubelet-client-current.pem";
    t.match(await worker.must(["openssl", "x509", "-noout", "-subject", "-in", current]), /CN = system:node:worker-0/);
    t.comment(`pods Ready after ${(await startWorkloads(testbed, workstation)).toFixed(1)} s`);
  });

  await scenario(t, "the serving certificate waits for approval, and logs and exec work after that", async (t) => {
    const signer = "kubernetes.io/kubelet-serving";
    const name = await given("a request for a serving certificate", async () => {
      const path = `jsonpath={.items[?(@.spec.signerName=="${signer}")].metadata.name}`;
      return (await kubectl("get", "csr", "-o", path)).stdout.split(" ")[0] || undefined;
    });
    const conditions = await kubectl("get", "csr", name, "-o", "jsonpath={.status.conditions}");
    t.equal(conditions.stdout, "", "the request is not approved automatically");
    const failures = await failuresOf(uses);
    for (const failure of failures) t.comment(failure);
    t.equal(failures.length, uses.length);
    t.equal((await kubectl("certificate", "approve", name)).code, 0);
    await given("every request works", async () => (await failuresOf(uses)).length === 0 || undefined);
  });

  await scenario(t, "an expired token is refused and deleted", async (t) => {
    const text = await workstation.mustKhw(["token", "create", "--expires", "1m", "-o", "json"]);
    const { id, token }: { id: string; token: string } = JSON.parse(text);
    const status = async (): Promise<string> => {
      const url = `https://${testbed.publicAddress}:6443/api/v1/nodes`;
      const argv = [
        "curl",
        "-sk",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
        "-H",
        `Authorization: Bearer ${token}`,
        url,
      ];
      return (await testbed.run(argv)).stdout;
    };
    t.equal(await status(), "403", "the token is known, and may not list nodes");
    await given("the token is refused", async () => (await status()) === "401" || undefined);
    const secret = ["get", "secret", "-n", "kube-system", `bootstrap-token-${id}`];
    await given("the Secret is deleted", async () => (await kubectl(...secret)).code !== 0 || undefined);
    t.match(await kubectl(...secret), { stderr: /NotFound/ });
  });

  await scenario(t, "without the setting, no token is created", async (t) => {
    const path = join(workstation.folder, "khw.yaml");
    await writeFile(path, (await readFile(path, "utf8")).replace("tlsBootstrap: true\n", ""));
    const { code, stdout, stderr } = await bootstrap();
    t.equal(code, 0, stdout + stderr);
    const before = await kubectl("get", "secrets", "-n", "kube-system", "-o", "name");
    failsWith(t, await workstation.khw(["token", "create"]), "CONFIG_INVALID", [/set tlsBootstrap: true/]);
    const early = await workstation.khw(["token", "create", "--tls-bootstrap"]);
    failsWith(t, early, "VERIFY_FAILED", [/status 401/, /run khw-client bootstrap/]);
    t.equal((await kubectl("get", "secrets", "-n", "kube-system", "-o", "name")).stdout, before.stdout);
    t.strictSame(await failuresOf(uses), [], "the worker works without the token");
  });
});
