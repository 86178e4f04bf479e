/**
 * Moves etcd from the cluster's CA to its own CA, and replaces the signing CA, on three machines while clients use the
 * load balancer. The client is killed in several stages of both rotations, and the same command continues the rotation.
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

import t, { type Test } from "tap";

import { failsWith, killAfter, openScene, restartAfter, scenario, type Scene } from "../fixtures/faults.ts";
import { succeed, underLoad } from "../fixtures/rotating-cas.ts";
import type { TestbedNode } from "../testbed/index.ts";
import { laterVersion } from "../testbed/workstation.ts";

const settings = "pki: {separateSigningCa: true}\n";
const all = ["--nodes", "controller-0,1,2"];
const rotate = ["pki", "rotate-etcd-ca", ...all];
const rotateSigning = ["pki", "rotate-signing-ca", ...all];

t.test("etcd moves to its own CA, and the signing CA is replaced, without a failed request", async (t) => {
  await using scene = await openScene(3, settings, { withEtcd: false, version: laterVersion });
  const { testbed, workstation, bootstrap } = scene;
  await workstation.mustKhw(["pki", "create", ...all, `--public-address=${testbed.publicAddress}`]);
  const first = await bootstrap();
  t.equal(first.code, 0, first.stderr);
  const clusterId = await idOf(scene, "ca");

  await scenario(
    t,
    "without its own CA, etcd accepts a worker's certificate, and bootstrap alone cannot add the CA",
    async (t) => {
      for (const node of testbed.nodes) t.equal(await asWorker(scene, node, "ca"), "accepted accepted", node.name);
      failsWith(t, await bootstrap("--separate-etcd-ca"), "CREDENTIAL_INVALID", [
        /etcd-ca\.pem: is missing .*in a running cluster, run khw-client pki rotate-etcd-ca/,
      ]);
      t.equal((await workstation.khw(["plan", ...all])).code, 0, "nothing has changed");
    },
  );

  await scenario(
    t,
    "a rotation that is killed while etcd starts to trust both CAs continues when it is rerun, and then waits",
    async (t) => {
      await underLoad(t, scene, async () => {
        t.ok(await killAfter(scene, rotate, restartAfter(/every node now gets both/)));
        t.match(await workstation.mustKhw(["pki", "show"]), /a rotation is under way \(etcd-ca\)/);
        const output = await succeed(t, scene, rotate);
        t.match(output, /a certificate from the new CA is accepted by: .*etcd-peer on controller-2/);
        t.match(output, /outside of khw: every other client of etcd .* must trust both CAs/);
      });
      t.match((await workstation.khw(["status", ...all])).stdout, /rotation is under way.*waiting for --reissue/);
      t.equal((await workstation.khw(["plan", ...all])).code, 0, "plan finds no difference while the rotation waits");
    },
  );

  await scenario(
    t,
    "a rotation that is killed while etcd gets certificates from the new CA continues when it is rerun, and then waits",
    async (t) => {
      await underLoad(t, scene, async () => {
        t.ok(await killAfter(scene, [...rotate, "--reissue"], restartAfter(/etcd's certificates are reissued/)));
        await succeed(t, scene, [...rotate, "--reissue"]);
      });
      for (const node of testbed.nodes) t.equal(await asWorker(scene, node, "etcd-ca"), "accepted accepted", node.name);
    },
  );

  await scenario(
    t,
    "a rotation that is killed while it drops the old CA completes when it is rerun, and etcd refuses the old CA",
    async (t) => {
      await underLoad(t, scene, async () => {
        t.ok(await killAfter(scene, [...rotate, "--drop-old"], restartAfter(/stops trusting the old CA/)));
        const output = await succeed(t, scene, [...rotate, "--drop-old"]);
        t.match(output, /a certificate from the old CA is refused by: .*etcd-peer on controller-2/);
      });
      for (const node of testbed.nodes) {
        t.equal(await asWorker(scene, node, "etcd-ca"), "refused refused", `${node.name} refuses a worker`);
        await checkFiles(t, node);
      }
      t.equal((await workstation.khw(["pki", "check", ...all])).code, 0);
      t.equal((await workstation.khw(["status", ...all])).code, 0);
      t.equal((await workstation.khw(["plan", ...all, "--separate-etcd-ca"])).code, 0);
      t.equal((await workstation.khw(["etcd", "snapshot", "save", ...all])).code, 0, "etcdctl uses the new files");
      t.equal(await idOf(scene, "etcd-ca"), clusterId, "the etcd cluster ID is unchanged");
    },
  );

  await scenario(t, "certificates from the old signing CA work until the rotation drops this CA", async (t) => {
    const [old, ca] = [
      await issue(scene, "before"),
      await readFile(join(testbed.credentials, "signing-ca.pem"), "utf8"),
    ];
    await underLoad(t, scene, async () => {
      t.ok(await killAfter(scene, rotateSigning, restartAfter(/every node now gets both/)));
      const trusted = await succeed(t, scene, rotateSigning);
      t.match(trusted, /outside of khw: every program that verifies certificates from the signing CA/);
      const output = await succeed(t, scene, [...rotateSigning, "--reissue"]);
      t.match(output, /CertificateSigningRequest before: its certificate is signed by the old CA/);
      t.match(output, /waits until every certificate from the old CA is replaced; .* --drop-old/);
    });
    const next = await issue(scene, "after");
    for (const node of testbed.nodes) {
      t.equal(await statusAs(scene, node, old), "403", `${node.name} still accepts the old CA`);
      t.equal(await statusAs(scene, node, next), "403", `${node.name} accepts the new CA`);
    }
    await underLoad(t, scene, async () => {
      const output = await succeed(t, scene, [...rotateSigning, "--drop-old"]);
      t.match(output, /a certificate from the old CA is refused by: kube-apiserver on controller-0/);
    });
    for (const node of testbed.nodes) {
      t.equal(await statusAs(scene, node, old), "401", `${node.name} refuses the old CA`);
      t.equal(await statusAs(scene, node, next), "403");
      t.notMatch(await node.must(["cat", "/var/lib/kubernetes/ca-bundle.pem"]), ca.trim());
    }
    const signing = join(testbed.credentials, "signing-ca.pem");
    t.match((await testbed.run(["openssl", "verify", "-CAfile", signing, `${next}.pem`])).stdout, /: OK/);
    t.equal((await workstation.khw(["plan", ...all])).code, 0);
  });
});

/** Returns the ID of the etcd cluster. */
async function idOf(scene: Scene, ca: "ca" | "etcd-ca"): Promise<string> {
  const name = ca === "ca" ? "kubernetes" : "etcd-server";
  const files = [`cacert=/etc/etcd/${ca}.pem`, `cert=/etc/etcd/${name}.pem`, `key=/etc/etcd/${name}-key.pem`];
  const flags = ["--endpoints=https://127.0.0.1:2379", ...files.map((file) => `--${file}`)];
  const list = ["env", "ETCDCTL_API=3", "etcdctl", ...flags, "member", "list", "--write-out=json"];
  const output = await scene.node(0).must(list);
  return /"cluster_id":(\d+)/.exec(output)?.[1] ?? output;
}

/**
 * Returns whether etcd accepts a worker's certificate at its client port and at its peer port. The certificate is
 * kube-proxy's, which lists no addresses. At its peer port, etcd refuses a certificate that lists only addresses other
 * than the caller's.
 */
async function asWorker({ testbed }: Scene, { address }: TestbedNode, ca: string): Promise<string> {
  const [folder, name] = [testbed.credentials, "kube-proxy"];
  const ask = async (url: string): Promise<string> => {
    const identity = ["--cert", join(folder, `${name}.pem`), "--key", join(folder, `${name}-key.pem`)];
    const flags = ["--http1.1", "--silent", "--output", "/dev/null", "--write-out", "%{http_code}"];
    const { stdout } = await testbed.run(["curl", ...flags, "--cacert", join(folder, `${ca}.pem`), ...identity, url]);
    return stdout === "000" ? "refused" : "accepted";
  };
  return `${await ask(`https://${address}:2379/health`)} ${await ask(`https://${address}:2380/version`)}`;
}

/**
 * Checks that etcd's folder has only the files of etcd's own CA, and that openssl accepts only certificates from this
 * CA.
 */
async function checkFiles(t: Test, node: TestbedNode): Promise<void> {
  const names = (await node.must(["ls", "/etc/etcd"])).trim().split("\n");
  t.strictSame(names, ["etcd-ca.pem", "etcd-server-key.pem", "etcd-server.pem"], node.name);
  const verify = ["openssl", "verify", "-x509_strict", "-CAfile", "/etc/etcd/etcd-ca.pem"];
  t.match(await node.must([...verify, "/etc/etcd/etcd-server.pem"]), /: OK/);
  t.match(await node.must([...verify, "/var/lib/kubernetes/etcd-client.pem"]), /: OK/);
  t.notMatch((await node.run([...verify, "/var/lib/kubernetes/kubernetes.pem"])).stdout, /: OK/);
}

/**
 * Lets Kubernetes issue a client certificate. Returns the path of the certificate's files, without the file extensions.
 */
async function issue({ testbed, workstation }: Scene, name: string): Promise<string> {
  const path = join(workstation.folder, name);
  const key = ["-newkey", "rsa:2048", "-nodes", "-keyout", `${path}-key.pem`];
  const made = await testbed.run(["openssl", "req", "-new", ...key, "-subj", "/CN=guest", "-out", `${path}.csr`]);
  if (made.code !== 0) throw new Error(made.stderr);
  const request = {
    apiVersion: "certificates.k8s.io/v1",
    kind: "CertificateSigningRequest",
    metadata: { name },
    spec: {
      request: (await readFile(`${path}.csr`)).toString("base64"),
      signerName: "kubernetes.io/kube-apiserver-client",
      usages: ["client auth"],
    },
  };
  const sent = await workstation.kubectl(["create", "-f", "-"], { input: JSON.stringify(request) });
  if (sent.code !== 0) throw new Error(sent.stderr);
  await workstation.kubectl(["certificate", "approve", name]);
  const get = ["get", "csr", name, "--output=jsonpath={.status.certificate}"];
  let encoded = "";
  const begun = performance.now();
  while (encoded === "" && performance.now() - begun < 60_000) encoded = (await workstation.kubectl(get)).stdout;
  await writeFile(`${path}.pem`, Buffer.from(encoded, "base64"));
  return path;
}

/** Returns the API server's status for the client certificate. */
async function statusAs({ testbed }: Scene, { address }: TestbedNode, path: string): Promise<string> {
  const flags = ["--silent", "--output", "/dev/null", "--write-out", "%{http_code}"];
  const identity = ["--cert", `${path}.pem`, "--key", `${path}-key.pem`];
  const url = `https://${address}:6443/api/v1/namespaces/default/secrets`;
  const ca = ["--cacert", join(testbed.credentials, "ca.pem")];
  return (await testbed.run(["curl", ...flags, ...ca, ...identity, url])).stdout;
}
