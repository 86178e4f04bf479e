/** Tests a worker that joins with a bootstrap token and requests its certificates from the cluster. */
import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";

import t from "tap";

import { failsWith, openScene, scenario } from "../fixtures/faults.ts";
import { given } from "../fixtures/given.ts";
import { failuresOf, kubeletUses, startWorkloads, untilReady } from "../fixtures/workload.ts";
import { project } from "../testbed/layout.ts";
import { joinWorkers } from "../testbed/worker/join.ts";

const servingSigner = "kubernetes.io/kubelet-serving";

interface RequestObject {
  readonly metadata: { readonly name: string };
  readonly spec: { readonly signerName: string };
  readonly status: { readonly conditions?: unknown };
}

t.test("a worker joins the cluster with a bootstrap token", async (t) => {
  await using scene = await openScene(1, "tlsBootstrap: true\n", { withEtcd: false, workers: 1 });
  const { testbed, workstation, bootstrap } = scene;
  const [worker] = testbed.workers;
  if (worker === undefined) throw new Error("the testbed has no worker");
  const first = await bootstrap();
  t.equal(first.code, 0, first.stdout + first.stderr);
  const bootstrapKubeconfig = join(workstation.folder, "bootstrap-kubeconfig");
  const kubectl = async (...args: readonly string[]) => workstation.kubectl(args);
  const uses = kubeletUses(testbed, workstation);
  const nodes = ["--nodes", testbed.nodes.map(({ name }) => name).join(",")];

  /** Returns the pending request for a serving certificate. */
  const pendingRequest = async (): Promise<string | undefined> => {
    const { items }: { items: readonly RequestObject[] } = JSON.parse(
      (await kubectl("get", "csr", "-o", "json")).stdout,
    );
    const pending = items.find(
      ({ spec, status }) => spec.signerName === servingSigner && status.conditions === undefined,
    );
    return pending?.metadata.name;
  };

  /** Uses the kubelet's client certificate to request a serving certificate for a controller's name and address. */
  const sendForged = async (): Promise<string> => {
    const certificate = join(workstation.folder, "kubelet.pem");
    const current = "/var/lib/kubelet/pki/kubelet-client-current.pem";
    await writeFile(certificate, await worker.must(["cat", current]), { mode: 0o600 });
    const names = "subjectAltName=DNS:worker-0,DNS:controller-0,IP:10.240.0.10";
    const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "/dev/null"];
    const subject = ["-subj", "/O=system:nodes/CN=system:node:worker-0", "-addext", names];
    const request = await testbed.must(["openssl", "req", "-new", ...key, ...subject]);
    const object = {
      apiVersion: "certificates.k8s.io/v1",
      kind: "CertificateSigningRequest",
      metadata: { name: "forged" },
      spec: {
        request: Buffer.from(request).toString("base64"),
        signerName: servingSigner,
        usages: ["digital signature", "key encipherment", "server auth"],
      },
    };
    const url = `https://${testbed.publicAddress}:6443/apis/certificates.k8s.io/v1/certificatesigningrequests`;
    const identity = ["--cacert", join(testbed.credentials, "ca.pem"), "--cert", certificate];
    const body = ["-H", "Content-Type: application/json", "--data-binary", "@-"];
    await testbed.must(["curl", "-sSf", ...identity, ...body, url], { input: JSON.stringify(object) });
    return "forged";
  };

  await scenario(t, "the kubelet gets a client certificate, and the node is Ready", async (t) => {
    const create = ["token", "create", "--expires", "30m", "--kubeconfig", bootstrapKubeconfig];
    t.comment(await workstation.mustKhw(create));
    t.equal((await stat(bootstrapKubeconfig)).mode & 0o777, 0o600);
    await joinWorkers(testbed, workstation, { bootstrapKubeconfig });
    t.comment(`Ready ${(await untilReady(workstation, worker.name)).toFixed(1)} s after the kubelet started`);
    const current = "/var/lib/kubelet/pki/kubelet-client-current.pem";
    t.match(await worker.must(["openssl", "x509", "-noout", "-subject", "-in", current]), /CN = system:node:worker-0/);
    t.comment(`pods Ready after ${(await startWorkloads(testbed, workstation)).toFixed(1)} s`);
  });

  await scenario(t, "logs and exec work only after the kubelet's serving certificate is approved", async (t) => {
    const request = await given("the kubelet requests a serving certificate", pendingRequest);
    const failures = await failuresOf(uses);
    for (const failure of failures) t.comment(failure);
    t.equal(failures.length, uses.length);

    const forged = await sendForged();
    const refused = await workstation.khw(["worker", "approve", ...nodes]);
    t.comment(refused.stdout + refused.stderr);
    failsWith(t, refused, "PARTIAL", [/"controller-0" belongs to the control plane/]);
    t.match(refused.stdout, new RegExp(`^${request}: worker-0: approved$`, "m"));
    t.match(refused.stdout, new RegExp(`^${forged}: worker-0: refused$`, "m"));
    const conditions = await kubectl("get", "csr", forged, "-o", "jsonpath={.status.conditions}");
    t.equal(conditions.stdout, "", "the forged request is neither approved nor denied");
    const start = performance.now();
    await given("every request succeeds", async () => (await failuresOf(uses)).length === 0 || undefined);
    t.comment(`logs and exec work ${((performance.now() - start) / 1000).toFixed(1)} s after the approval`);

    t.equal((await kubectl("delete", "csr", forged)).code, 0);
    const again = await workstation.khw(["worker", "approve", worker.name, ...nodes]);
    t.match(again, { code: 0, stdout: /no request for a serving certificate is pending/ });
    failsWith(t, await workstation.khw(["worker", "approve", "worker-7", ...nodes]), "NOT_RUN", [/no pending request/]);
  });

  await scenario(
    t,
    "interrupting --watch changes nothing, and the next run with --watch approves a new request",
    async (t) => {
      await worker.must(["sh", "-c", "systemctl stop kubelet && rm /var/lib/kubelet/pki/kubelet-server-*"]);
      const watch = ["worker", "approve", "--watch", ...nodes];
      const first = scene.start(...watch);
      first.kill();
      await first.ended;
      // khw refuses an address that appears only in the Node object. A kubelet can write its Node object.
      const instance = `projects/${project.id}/zones/${project.zone}/instances/${worker.name}`;
      const { networkInterfaces } = (await testbed.compute.state()).resources[instance] ?? {};
      const [nic] = Array.isArray(networkInterfaces) ? networkInterfaces : [];
      await testbed.compute.changeState({
        put: { [instance]: { networkInterfaces: [{ ...nic, networkIP: "10.240.0.29" }] } },
      });
      await worker.must(["systemctl", "start", "kubelet"]);
      const request = await given("the kubelet sends a new request", pendingRequest);
      const refusing = scene.start(...watch, "-o", "json");
      await refusing.said(/"10\.240\.0\.20\\" is not a name or address of the instance worker-0/);
      refusing.interrupt();
      t.equal((await refusing.ended).code, 0);
      t.equal(await pendingRequest(), request, "the request is still pending");
      await testbed.compute.changeState({ put: { [instance]: { networkInterfaces } } });
      const { code, stdout, stderr } = await workstation.khw(["worker", "approve", worker.name, "--watch", ...nodes]);
      t.equal(code, 0, stdout + stderr);
      t.match(stdout, new RegExp(`^${request}: worker-0: approved$`, "m"));
      await given("every request succeeds", async () => (await failuresOf(uses)).length === 0 || undefined);
    },
  );

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
    t.equal(await status(), "403", "the token is valid, but its user may not list nodes");
    await given("the token is refused", async () => (await status()) === "401" || undefined);
    const secret = ["get", "secret", "-n", "kube-system", `bootstrap-token-${id}`];
    await given("the Secret is deleted", async () => (await kubectl(...secret)).code !== 0 || undefined);
    t.match(await kubectl(...secret), { stderr: /NotFound/ });
  });

  await scenario(t, "token create is refused unless TLS bootstrapping is enabled on the cluster", async (t) => {
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
