/** Runs a cluster with a mix of files created by hand, as in labs 04 to 06, and files created by khw. */
import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";

import t from "tap";

import { components } from "../../proto/components.ts";
import { makeByTheLabs } from "../fixtures/cfssl.ts";
import { exitOf } from "../fixtures/faults.ts";
import { must } from "../testbed/command.ts";
import { startTestbed } from "../testbed/index.ts";
import { agentPackage, installAgents, makeWorkstation, realVersion } from "../testbed/workstation.ts";

const nodes = ["--nodes", "controller-0,1"];

t.test("a cluster works with cfssl's certificates, alone or mixed with khw's", async (t) => {
  const testbed = await startTestbed({ nodes: 2, credentials: makeByTheLabs });
  t.teardown(() => testbed.stop());
  const workstation = await makeWorkstation(testbed);

  await t.test("pki check reports no findings for cfssl's files", async (t) => {
    const { code, stdout, stderr } = await workstation.khw(["pki", "check", ...nodes]);
    t.equal(code, 0, stdout + stderr);
    t.match(stdout, /no findings\n$/);
    t.notMatch(stdout, "not run");
  });

  await installAgents(workstation, testbed.nodes, agentPackage);
  const empty = join(workstation.folder, "empty");
  await t.test("plan with an empty credentials folder lists all files and writes none", async (t) => {
    const { code, stdout, stderr } = await workstation.khw(["plan", ...nodes, "--credentials", empty]);
    t.equal(code, 2, stderr);
    t.match(stdout, `workstation: credentials: ${empty} has no credentials: 19 files would be created\n`);
    t.match(stdout, "controller-1: credential/ca.pem: is missing\n");
    await t.rejects(stat(empty), { code: "ENOENT" });
  });

  await t.test("bootstrap creates a control plane with cfssl's certificates", async (t) => {
    const { code, stdout, stderr } = await workstation.khw(["bootstrap", ...nodes]);
    t.equal(code, 0, stderr);
    t.match(stdout, `https://${testbed.publicAddress}:6443/version answers ${realVersion}`);
  });

  await t.test(
    "bootstrap with an empty credentials folder refuses to create a second CA for the existing cluster",
    async (t) => {
      const { code, stderr } = await workstation.khw(["bootstrap", ...nodes, "--credentials", empty]);
      t.equal(code, exitOf("CREDENTIAL_INVALID"));
      t.match(stderr, /the folder has no files, but controller-\d was set up with credentials/);
      await t.rejects(stat(empty), { code: "ENOENT" });
    },
  );

  const create = ["create", "secret", "generic", "proof", "--from-literal=key=value"];
  const created = await workstation.kubectl(create);
  t.equal(created.code, 0, created.stderr);

  await t.test(
    "khw renews only the selected certificates with cfssl's CA, and the cluster keeps serving",
    async (t) => {
      const renew = ["--renew", "kubernetes,kube-scheduler,admin", "--separate-signing-ca"];
      const told = await workstation.mustKhw(["pki", "create", ...nodes, ...renew]);
      t.match(told, /kubernetes\.pem: CN=kubernetes, O=Kubernetes, valid until /);
      t.match(told, /signing-ca\.pem: CN=Kubernetes signing, O=Kubernetes, valid until /);
      t.match(await workstation.mustKhw(["pki", "check", ...nodes]), /no findings\n$/);
      const { code, stdout, stderr } = await workstation.khw(["bootstrap", ...nodes]);
      t.equal(code, 0, stdout + stderr);
      for (const node of testbed.nodes) {
        const digest = async (path: string) => (await node.must(["sha256sum", path])).split(" ")[0];
        const [wanted] = (await must(["sha256sum", join(testbed.credentials, "kubernetes.pem")])).split(" ");
        t.equal(await digest("/var/lib/kubernetes/kubernetes.pem"), wanted, `${node.name} has khw's certificate`);
        t.not(await digest("/etc/etcd/kubernetes.pem"), wanted, `${node.name}'s etcd still has cfssl's certificate`);
        t.equal(await node.must(["systemctl", "is-active", ...components]), "active\n".repeat(components.length));
      }
      const read = await workstation.kubectl(["get", "secret", "proof", "-o", "jsonpath={.data.key}"]);
      t.equal(read.stdout, Buffer.from("value").toString("base64"), read.stderr);
    },
  );

  await t.test(
    "with a separate signing CA, no controller has the cluster CA's key, and certificates signed by Kubernetes are accepted",
    async (t) => {
      for (const node of testbed.nodes) {
        const files = (await node.must(["ls", "/var/lib/kubernetes"])).split("\n");
        t.notOk(files.includes("ca-key.pem"), node.name);
        t.ok(files.includes("signing-ca-key.pem"), node.name);
      }
      const folder = workstation.folder;
      const [key, csr, pem] = ["jane-key.pem", "jane.csr", "jane.pem"].map((name) => join(folder, name));
      await must([
        "openssl",
        "req",
        "-new",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        key ?? "",
        "-subj",
        "/CN=jane",
        "-out",
        csr ?? "",
      ]);
      const request = {
        apiVersion: "certificates.k8s.io/v1",
        kind: "CertificateSigningRequest",
        metadata: { name: "jane" },
        spec: {
          request: (await readFile(csr ?? "")).toString("base64"),
          signerName: "kubernetes.io/kube-apiserver-client",
          usages: ["client auth"],
        },
      };
      const applied = await workstation.kubectl(["create", "-f", "-"], { input: JSON.stringify(request) });
      t.equal(applied.code, 0, applied.stderr);
      const approved = await workstation.kubectl(["certificate", "approve", "jane"]);
      t.equal(approved.code, 0, approved.stderr);
      let issued = "";
      for (let tries = 0; issued === "" && tries < 60; tries++) {
        await setTimeout(500);
        issued = (await workstation.kubectl(["get", "csr", "jane", "-o", "jsonpath={.status.certificate}"])).stdout;
      }
      await writeFile(pem ?? "", Buffer.from(issued, "base64"));
      const shown = await must(["openssl", "x509", "-in", pem ?? "", "-noout", "-issuer"]);
      t.match(shown, "CN = Kubernetes signing");
      const ca = join(testbed.credentials, "ca.pem");
      const url = `https://${testbed.publicAddress}:6443/api/v1/namespaces`;
      const asked = await testbed.run(["curl", "-sS", "--cacert", ca, "--cert", pem ?? "", "--key", key ?? "", url]);
      t.match(asked.stdout, /User \\?"jane\\?" cannot list/, asked.stderr);
    },
  );

  await t.test("kubectl works through the public address with the kubeconfig that khw writes", async (t) => {
    const file = join(workstation.folder, "kubeconfig");
    t.match(await workstation.mustKhw(["kubeconfig", "--kubeconfig", file]), `https://${testbed.publicAddress}:6443`);
    const kubectl = join(testbed.kubernetes, realVersion, "kubectl");
    const { stdout, stderr } = await testbed.run([kubectl, `--kubeconfig=${file}`, "get", "namespaces", "-o", "name"]);
    t.match(stdout, "namespace/kube-system", stderr);
  });
});
