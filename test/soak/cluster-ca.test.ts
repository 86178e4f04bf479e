/**
 * Replaces the cluster's CA on three machines while clients use the load balancer. The client is killed once in each
 * stage, and the same command continues the rotation.
 */
import { cp, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

import t, { type Test } from "tap";

import { failsWith, killAfter, openScene, restartAfter, scenario, type Scene } from "../fixtures/faults.ts";
import { succeed, underLoad } from "../fixtures/rotating-cas.ts";
import type { TestbedNode } from "../testbed/index.ts";
import { laterVersion } from "../testbed/workstation.ts";

const all = ["--nodes", "controller-0,1,2"];
const rotate = ["pki", "rotate-ca", ...all];

t.test("the cluster's CA", async (t) => {
  await using scene = await openScene(3, "", { withEtcd: false, version: laterVersion });
  const { testbed, workstation, bootstrap } = scene;
  const first = await bootstrap();
  t.equal(first.code, 0, first.stderr);
  const former = join(workstation.folder, "former");
  await cp(testbed.credentials, former, { recursive: true });
  const created = await workstation.kubectl(["create", "-f", "-"], { input: JSON.stringify(pod) });
  t.equal(created.code, 0, created.stderr);
  const clusterId = await idOf(scene);

  await scenario(
    t,
    "a rotation that is killed while the nodes get both CAs continues when it is rerun, and then waits",
    async (t) => {
      await underLoad(t, scene, async () => {
        failsWith(t, await workstation.khw([...rotate, "--reissue"]), "INVALID_ARGUMENT", [/--reissue: not every/]);
        t.ok(await killAfter(scene, rotate, restartAfter(/every node now gets both/)));
        t.match(await workstation.mustKhw(["pki", "show"]), /a rotation is under way \(cluster-ca\)/);
        failsWith(t, await workstation.khw(["encryption", "rotate", ...all]), "BUSY", [
          /another rotation is under way/,
        ]);
        const output = await succeed(t, scene, rotate);
        t.match(output, /a certificate from the new CA is accepted by: .*etcd-peer on controller-2/);
        t.match(output, /restart: Pod default\/holder \(1 pod\)/);
        t.match(output, /the rotation waits until every client trusts both CAs/);
      });
      t.match((await workstation.khw(["status", ...all])).stdout, /rotation is under way.*waiting for --reissue/);
      t.equal((await workstation.khw(["plan", ...all])).code, 0, "plan finds no difference while the rotation waits");
      for (const node of testbed.nodes) {
        const signing = await node.must(["grep", "-c", "BEGIN", "/var/lib/kubernetes/signing-ca.pem"]);
        t.equal(signing.trim(), "1", "the controller manager's signing file has one certificate");
      }
    },
  );

  await scenario(
    t,
    "a rotation that is killed while the nodes get certificates from the new CA continues when it is rerun, and then waits",
    async (t) => {
      await underLoad(t, scene, async () => {
        failsWith(t, await workstation.khw([...rotate, "--drop-old"]), "INVALID_ARGUMENT", [/--drop-old: not every/]);
        t.ok(await killAfter(scene, [...rotate, "--reissue"], restartAfter(/the certificates are reissued/)));
        const output = await succeed(t, scene, [...rotate, "--reissue"]);
        t.match(output, /the rotation waits until every certificate from the old CA is replaced/);
        for (const node of testbed.nodes)
          t.equal(await statusOf(scene, node, former), "403 true", `${node.name} accepts certificates from the old CA`);
      });
      t.equal((await workstation.khw(["plan", ...all])).code, 0, "plan finds no difference while the rotation waits");
    },
  );

  await scenario(
    t,
    "a rotation that is killed while it drops the old CA completes when it is rerun, and all servers refuse the old CA",
    async (t) => {
      await underLoad(t, scene, async () => {
        t.ok(
          await killAfter(scene, [...rotate, "--drop-old"], restartAfter(/every node now stops trusting the old CA/)),
        );
        const output = await succeed(t, scene, [...rotate, "--drop-old"]);
        t.match(output, /a certificate from the old CA is refused by: .*etcd-peer on controller-2/);
        t.match(output, /the old CA is removed from the ConfigMap kube-system\/extension-apiserver-authentication/);
      });
      const ca = await readFile(join(testbed.credentials, "ca.pem"), "utf8");
      const old = await readFile(join(former, "ca.pem"), "utf8");
      t.equal(ca.match(/-----BEGIN/g)?.length, 1);
      t.not(ca, old);
      for (const node of testbed.nodes) {
        t.equal(await statusOf(scene, node, former), "401 false", `${node.name} refuses certificates from the old CA`);
        t.equal(
          await statusOf(scene, node, testbed.credentials),
          "403 true",
          `${node.name} accepts certificates from the new CA`,
        );
        await checkFiles(t, node, ca);
      }
      const trust = await workstation.kubectl([
        "get",
        "configmap",
        "--namespace=kube-system",
        "extension-apiserver-authentication",
        "--output=jsonpath={.data.client-ca-file}",
      ]);
      t.equal(trust.stdout.trim(), ca.trim());
      const root = await workstation.kubectl([
        "get",
        "configmap",
        "kube-root-ca.crt",
        "--output=jsonpath={.data.ca\\.crt}",
      ]);
      t.equal(root.stdout.trim(), ca.trim());
      t.notOk((await readdir(testbed.credentials)).includes("rotation-ca"));
      t.equal((await workstation.khw(["pki", "check", ...all])).code, 0);
      t.equal((await workstation.khw(["status", ...all])).code, 0);
      t.equal((await workstation.khw(["plan", ...all])).code, 0);
      t.equal(await idOf(scene), clusterId, "the etcd cluster ID is unchanged");
    },
  );

  await scenario(t, "the API server reloads its client CA file, but etcd does not", async (t) => {
    const node = scene.node(2);
    await makeStranger(node);
    await node.must(["systemctl", "stop", "khw-agent"]);
    t.equal(await askAsStranger(node), "401 false false", "neither the API server nor etcd trusts the new CA yet");
    const begun = performance.now();
    await node.must([
      "sh",
      "-c",
      "for folder in /var/lib/kubernetes /etc/etcd; do cat /root/x.pem >> $folder/ca.pem; done",
    ]);
    t.equal(await until(node, "403 false false"), "403 false false");
    t.comment(`--client-ca-file was reread after ${((performance.now() - begun) / 1000).toFixed(0)} s`);
    await node.must(["systemctl", "restart", "etcd"]);
    t.equal(await until(node, "403 true true"), "403 true true", "etcd accepts the new CA after a restart");
    await node.must(["systemctl", "start", "khw-agent"]);
  });
});

const pod = {
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "holder", namespace: "default" },
  spec: { containers: [{ name: "a", image: "example.com/a" }] },
};

/** Returns the ID of the etcd cluster. */
async function idOf(scene: Scene): Promise<string> {
  const output = await scene.node(0).must(etcdctl(["member", "list", "--write-out=json"]));
  return /"cluster_id":(\d+)/.exec(output)?.[1] ?? output;
}

function etcdctl(args: readonly string[]): string[] {
  const files = ["cacert=/etc/etcd/ca.pem", "cert=/etc/etcd/kubernetes.pem", "key=/etc/etcd/kubernetes-key.pem"];
  const flags = files.map((file) => `--${file}`);
  return ["env", "ETCDCTL_API=3", "etcdctl", "--endpoints=https://127.0.0.1:2379", ...flags, ...args];
}

/**
 * Tries two certificates from the folder. Returns the API server's status for the scheduler's certificate, and whether
 * etcd accepts the API server's certificate. The servers themselves are verified with the current CA.
 */
async function statusOf({ testbed }: Scene, { address }: TestbedNode, folder: string): Promise<string> {
  const ask = async (name: string, url: string): Promise<string> => {
    const files = ["--cert", join(folder, `${name}.pem`), "--key", join(folder, `${name}-key.pem`)];
    const ca = ["--cacert", join(testbed.credentials, "ca.pem")];
    const flags = ["--silent", "--output", "/dev/null", "--write-out", "%{http_code}"];
    return (await testbed.run(["curl", ...flags, ...ca, ...files, url])).stdout;
  };
  const status = await ask("kube-scheduler", `https://${address}:6443/api/v1/namespaces/default/secrets`);
  return `${status} ${String((await ask("kubernetes", `https://${address}:2379/health`)) === "200")}`;
}

/** Checks that the machine has only the new CA, and that openssl verifies the machine's certificate. */
async function checkFiles(t: Test, node: TestbedNode, ca: string): Promise<void> {
  for (const folder of ["/var/lib/kubernetes", "/etc/etcd"]) {
    t.equal(await node.must(["cat", `${folder}/ca.pem`]), ca, `${node.name}: ${folder}/ca.pem is the CA's certificate`);
    t.match(await node.must(["openssl", "verify", "-CAfile", `${folder}/ca.pem`, `${folder}/kubernetes.pem`]), /: OK/);
  }
  const left = await node.must(["ls", "/var/lib/kubernetes"]);
  t.notMatch(left, /signing-ca|ca-bundle/, "the rotation's temporary files are deleted");
}

/** Creates an untrusted CA on the machine, and a client certificate from this CA. */
async function makeStranger(node: TestbedNode): Promise<void> {
  const script = `cd /root
    openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=stranger -days 2 -keyout x-key.pem -out x.pem
    openssl req -new -newkey rsa:2048 -nodes -subj /CN=guest -keyout y-key.pem -out y.csr
    printf 'extendedKeyUsage=clientAuth\\n' > y.ext
    openssl x509 -req -in y.csr -CA x.pem -CAkey x-key.pem -CAcreateserial -days 1 -extfile y.ext -out y.pem`;
  await node.must(["sh", "-ec", script]);
}

/** Repeats the requests until they return the wanted answer, for at most two minutes. Returns the last answer. */
async function until(node: TestbedNode, wanted: string): Promise<string> {
  const begun = performance.now();
  let seen = "";
  while (seen !== wanted && performance.now() - begun < 120_000) seen = await askAsStranger(node);
  return seen;
}

/**
 * Returns the API server's status, and whether etcd accepts the untrusted CA's client certificate from clients and from
 * peers.
 */
async function askAsStranger(node: TestbedNode): Promise<string> {
  const ask = async (url: string): Promise<string> => {
    const flags =
      "--http1.1 --silent --insecure --output /dev/null --write-out %{http_code} --cert /root/y.pem --key /root/y-key.pem";
    return (await node.run(["curl", ...flags.split(" "), url])).stdout;
  };
  const status = await ask("https://127.0.0.1:6443/api/v1/namespaces/default/secrets");
  const answers = async (url: string): Promise<string> => String((await ask(url)) !== "000");
  return `${status} ${await answers("https://127.0.0.1:2379/health")} ${await answers(`https://${node.address}:2380/version`)}`;
}
