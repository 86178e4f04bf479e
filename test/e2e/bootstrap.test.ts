import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";

import t from "tap";

import { components, credentialNames } from "../../proto/components.ts";
import { given } from "../fixtures/given.ts";
import { labFile } from "../lab/lab.ts";
import { must } from "../testbed/command.ts";
import { gcloudEnvironment } from "../testbed/gcloud.ts";
import { startTestbed } from "../testbed/index.ts";
import type { TestbedNode } from "../testbed/index.ts";
import { agentPackage, installAgents, makeWorkstation, realVersion } from "../testbed/workstation.ts";
import { nodeLine } from "../fixtures/output-lines.ts";

const nodes = ["--nodes", "controller-0,1,2"];
const site = "kubernetes.default.svc.cluster.local";
const units = [...components, "nginx"];

const widgetDefinition = {
  apiVersion: "apiextensions.k8s.io/v1",
  kind: "CustomResourceDefinition",
  metadata: { name: "widgets.test.khw" },
  spec: {
    group: "test.khw",
    scope: "Namespaced",
    names: { plural: "widgets", singular: "widget", kind: "Widget" },
    versions: [
      {
        name: "v1",
        served: true,
        storage: true,
        schema: {
          openAPIV3Schema: {
            type: "object",
            properties: { spec: { type: "object", properties: { colour: { type: "string" } } } },
          },
        },
      },
    ],
  },
};
const widget = {
  apiVersion: "test.khw/v1",
  kind: "Widget",
  metadata: { name: "first" },
  spec: { colour: "green" },
};

/**
 * Returns each lab file on a node with its digest, mode and inode, and each service's process. A run that has nothing
 * to do must not change any of these values.
 */
async function fingerprint(node: TestbedNode): Promise<string> {
  const folders =
    "/etc/kubernetes /etc/systemd/system /var/lib/kubernetes /usr/local/bin /usr/local/lib/khw /etc/nginx";
  return node.must([
    "sh",
    "-ec",
    `find ${folders} -printf '%p %y %m %u %i %T@ %l\\n' | sort; find ${folders} -type f -exec sha256sum {} + | sort; systemctl show -P MainPID -P ExecMainStartTimestamp ${units.join(" ")}`,
  ]);
}

function seconds(since: number): string {
  return `${((performance.now() - since) / 1000).toFixed(1)} s`;
}

t.test("one command turns three machines into a highly available control plane", async (t) => {
  const testbed = await startTestbed();
  t.teardown(() => testbed.stop());
  const workstation = await makeWorkstation(testbed);
  await installAgents(workstation, testbed.nodes, agentPackage);

  await t.test("plan prints the pending changes and changes nothing", async (t) => {
    const before = await testbed.compute.mutations();
    const { code, stdout } = await workstation.khw(["plan", ...nodes]);
    t.equal(code, 2);
    t.match(stdout, `controller-0, controller-1, controller-2: release/kube-apiserver: is missing`);
    t.match(stdout, "load balancer: forwarding-rule: does not exist");
    t.equal(await testbed.compute.mutations(), before);
    t.equal((await testbed.nodes[0]?.run(["ls", "/usr/local/bin/kubectl"]))?.code, 2);
  });

  await t.test("bootstrap creates the cluster and verifies it", async (t) => {
    const start = performance.now();
    const { code, stdout, stderr } = await workstation.khw(["bootstrap", ...nodes]);
    t.comment(`bootstrap of three nodes: ${seconds(start)}`);
    t.equal(code, 0, stderr);
    t.match(stdout, `https://${testbed.publicAddress}:6443/version answers ${realVersion}`);
  });

  await t.test("on every node, the unit files and the configuration are identical to the lab's files", async (t) => {
    for (const node of testbed.nodes) {
      const variables = { INTERNAL_IP: node.address, KUBERNETES_PUBLIC_ADDRESS: testbed.publicAddress };
      for (const component of components) {
        const path = `/etc/systemd/system/${component}.service`;
        t.equal(await node.must(["cat", path]), labFile(path, variables), `${node.name}: ${path} is the lab's file`);
      }
      const config = "/etc/kubernetes/config/kube-scheduler.yaml";
      t.equal(await node.must(["cat", config]), labFile(config), `${node.name}: ${config} is the lab's file`);

      const served = (await node.must(["cat", `/etc/nginx/sites-enabled/${site}`])).split("\n");
      const lines = labFile(site).split("\n");
      t.strictSame(
        served.filter((line) => lines.includes(line)),
        lines,
        `${node.name}: the nginx site contains every line of the lab's site`,
      );
      t.strictSame(
        served.filter((line) => !lines.includes(line)).map((line) => line.trim().split(/ +/)[0]),
        ["proxy_ssl_verify", "proxy_ssl_name"],
        `${node.name}: all other lines of the nginx site enable TLS verification`,
      );
    }
  });

  await t.test(
    "every node has unchanged credentials, keys that only root can read, and programs that match the published digests",
    async (t) => {
      for (const node of testbed.nodes) {
        for (const name of credentialNames) {
          const path = `/var/lib/kubernetes/${name}`;
          const expected = await must(["sha256sum", join(testbed.credentials, name)]);
          t.equal((await node.must(["sha256sum", path])).split(" ")[0], expected.split(" ")[0], path);
          const secret = !name.endsWith(".pem") || name.endsWith("-key.pem");
          t.equal(await node.must(["stat", "-c", "%a %U:%G", path]), `${secret ? 600 : 644} root:root\n`, path);
        }
        for (const program of [...components, "kubectl"]) {
          const published = await must(["cat", join(testbed.kubernetes, realVersion, `${program}.sha256`)]);
          const [digest] = (await node.must(["sha256sum", `/usr/local/bin/${program}`])).split(" ");
          t.equal(digest, published.trim(), `${node.name}: ${program} has the published digest`);
          t.equal(await node.must(["stat", "-c", "%a", `/usr/local/bin/${program}`]), "755\n");
        }
      }
    },
  );

  await t.test("every unit is active and enabled, and /healthz responds as in the lab", async (t) => {
    for (const node of testbed.nodes) {
      t.equal(await node.must(["systemctl", "is-active", ...units]), "active\n".repeat(units.length), node.name);
      t.equal(await node.must(["systemctl", "is-enabled", ...units]), "enabled\n".repeat(units.length), node.name);
      t.equal(await node.must(["curl", "-sSH", `Host: ${site}`, "http://127.0.0.1/healthz"]), "ok");
    }
  });

  await t.test("kubectl works through the public address, and a Secret is encrypted in etcd", async (t) => {
    const namespaces = await workstation.kubectl(["get", "namespaces", "-o", "name"]);
    t.match(namespaces.stdout, "namespace/kube-system", namespaces.stderr);
    const created = await workstation.kubectl([
      "create",
      "secret",
      "generic",
      "proof",
      "--from-literal=key=in-the-clear",
    ]);
    t.equal(created.code, 0, created.stderr);
    const [first] = testbed.nodes;
    const stored = await first?.must([
      "sh",
      "-ec",
      "ETCDCTL_API=3 etcdctl get /registry/secrets/default/proof --print-value-only --endpoints=https://127.0.0.1:2379 --cacert=/etc/etcd/ca.pem --cert=/etc/etcd/kubernetes.pem --key=/etc/etcd/kubernetes-key.pem",
    ]);
    t.match(stored, /^k8s:enc:aescbc:v1:/);
    t.notMatch(stored, "in-the-clear");
  });

  await t.test("status, verify and plan report no problem", async (t) => {
    const { code, stdout } = await workstation.khw(["status", ...nodes, "--output", "json"]);
    t.equal(code, 0, stdout);
    const status = JSON.parse(stdout);
    t.strictSame(
      status.nodes.map(
        ({
          node,
          components: found,
        }: {
          node: string;
          components: { name: string; health: string; version: string }[];
        }) => [
          node,
          ...found.map(({ name, health, version }) =>
            `${name} ${health} ${components.some((component) => component === name) ? version : ""}`.trim(),
          ),
        ],
      ),
      testbed.nodes.map(({ name }) => [
        name,
        ...components.map((component) => `${component} healthy ${realVersion}`),
        "etcd healthy",
        "nginx healthy",
      ]),
    );
    t.strictSame(
      status.loadBalancer.backends.map(({ name, state }: { name: string; state: string }) => `${name} ${state}`),
      testbed.nodes.map(({ name }) => `${name} HEALTHY`),
    );
    t.equal((await workstation.khw(["verify", ...nodes])).code, 0);
    const plan = await workstation.khw(["plan", ...nodes]);
    t.equal(plan.code, 0, plan.stdout);
  });

  await t.test("a second bootstrap changes no file, process or Compute Engine resource", async (t) => {
    const before = await Promise.all(testbed.nodes.map(fingerprint));
    const mutations = await testbed.compute.mutations();
    const start = performance.now();
    const { code, stdout, stderr } = await workstation.khw(["bootstrap", ...nodes]);
    t.comment(`a second bootstrap: ${seconds(start)}`);
    t.equal(code, 0, stderr);
    t.match(stdout, nodeLine("controller-0", "nothing to do"));
    t.strictSame(await Promise.all(testbed.nodes.map(fingerprint)), before);
    t.equal(await testbed.compute.mutations(), mutations);
  });

  const gcloud = "/usr/bin/gcloud";
  await t.test(
    "the real gcloud lists the load balancer",
    { skip: existsSync(gcloud) ? false : "gcloud is not installed here" },
    async (t) => {
      const config = join(testbed.folder, "gcloud");
      await mkdir(config, { recursive: true });
      const ask = async (...args: string[]): Promise<string> =>
        testbed.must([gcloud, "compute", ...args], {
          env: gcloudEnvironment(testbed.computeUrl, config),
        });
      const rule = await ask(
        "forwarding-rules",
        "describe",
        "kubernetes-forwarding-rule",
        "--format",
        "value(IPAddress,portRange,target.basename())",
      );
      t.strictSame(rule.trim().split("\t"), [testbed.publicAddress, "6443-6443", "kubernetes-target-pool"]);
      const health = await ask(
        "target-pools",
        "get-health",
        "kubernetes-target-pool",
        "--format",
        "value(healthStatus[].healthState)",
      );
      t.strictSame(health.match(/HEALTHY/g), ["HEALTHY", "HEALTHY", "HEALTHY"]);
      t.match(await ask("firewall-rules", "describe", "kubernetes-the-hard-way-allow-health-check"), "35.191.0.0/16");
    },
  );

  await t.test("a changed flag restarts only its own component", async (t) => {
    const pids = (): Promise<string[]> =>
      Promise.all(
        testbed.nodes.map((node) =>
          node.must(["systemctl", "show", "-P", "MainPID", "kube-apiserver", "kube-controller-manager", "nginx"]),
        ),
      );
    const before = await pids();
    const changed = await workstation.khw(["bootstrap", ...nodes, "--kube-scheduler-flag", "v=3"]);
    t.equal(changed.code, 0, changed.stderr);
    t.strictSame(await pids(), before, "the other components were not restarted");
    for (const node of testbed.nodes) {
      t.match(
        await node.must(["sh", "-ec", "tr '\\0' ' ' </proc/$(systemctl show -P MainPID kube-scheduler)/cmdline"]),
        "--v=3",
      );
    }
    const back = await workstation.khw(["bootstrap", ...nodes]);
    t.equal(back.code, 0, back.stderr);
    t.strictSame(await pids(), before, "the other components were not restarted after the flag was removed");
  });

  await t.test("the cluster recovers without a client after all three nodes lose power", async (t) => {
    const files = async (): Promise<string[]> =>
      Promise.all(
        testbed.nodes.map(async (node) =>
          (await fingerprint(node))
            .split("\n")
            .filter((line) => line.includes("/"))
            .join("\n"),
        ),
      );
    const before = await files();
    await Promise.all(testbed.nodes.map((node) => node.powerOff()));
    await Promise.all(testbed.nodes.map((node) => node.powerOn()));
    const start = performance.now();
    await Promise.all(
      testbed.nodes.map((node) =>
        node.must(["sh", "-c", "systemctl is-system-running --wait; systemctl is-active khw-agent"]),
      ),
    );
    const { code, stdout, stderr } = await workstation.khw(["bootstrap", ...nodes]);
    t.comment(`healthy again: ${seconds(start)}`);
    t.equal(code, 0, `${stdout}${stderr}`);
    t.notMatch(
      stdout,
      /(binary|credential|unit|config|package)\//,
      "a bootstrap after the power failure rewrites no files",
    );
    t.strictSame(await files(), before);
    for (const node of testbed.nodes) {
      t.equal(await node.must(["systemctl", "is-active", ...units]), "active\n".repeat(units.length), node.name);
    }
  });

  await t.test("lb delete removes only the resources that lb create created", async (t) => {
    const deleted = await workstation.khw(["lb", "delete", ...nodes]);
    t.equal(deleted.code, 0, deleted.stderr);
    const made = /\/(addresses|firewalls|forwardingRules|httpHealthChecks|targetPools)\//;
    const left = Object.keys((await testbed.compute.state()).resources).filter((path) => made.test(path));
    t.strictSame(left, ["projects/khw-testbed/regions/us-west1/addresses/kubernetes-the-hard-way"]);
  });
});

for (const count of [1, 5]) {
  t.test(`bootstrap sets up a working ${count}-controller cluster`, async (t) => {
    const testbed = await startTestbed({ nodes: count });
    t.teardown(() => testbed.stop());
    const workstation = await makeWorkstation(testbed);
    await installAgents(workstation, testbed.nodes, agentPackage);
    const start = performance.now();
    const all = ["--nodes", testbed.nodes.map(({ name }) => name).join(",")];
    const { code, stderr } = await workstation.khw(["bootstrap", ...all]);
    t.comment(`bootstrap of ${count}: ${seconds(start)}`);
    t.equal(code, 0, stderr);
    const unit = await testbed.nodes[0]?.must(["cat", "/etc/systemd/system/kube-apiserver.service"]);
    t.match(unit, `--apiserver-count=${count} `);
    t.match(unit, `--etcd-servers=${testbed.nodes.map(({ address }) => `https://${address}:2379`).join(",")} `);
    t.match((await workstation.kubectl(["get", "namespaces", "-o", "name"])).stdout, "namespace/default");
    if (count > 1) return;

    await t.test("the API server stores a custom resource and keeps running", async (t) => {
      const pid = async (): Promise<string | undefined> =>
        testbed.nodes[0]?.must(["systemctl", "show", "-P", "MainPID", "kube-apiserver"]);
      const before = await pid();
      const defined = await workstation.kubectl(["create", "-f", "-"], { input: JSON.stringify(widgetDefinition) });
      t.equal(defined.code, 0, defined.stderr);
      const create = ["create", "-f", "-"];
      await given("a custom resource is stored", async () => {
        // The API server starts to serve a new kind shortly after it has stored the kind's definition.
        const { code, stderr } = await workstation.kubectl(create, { input: JSON.stringify(widget) });
        if (code !== 0 && !stderr.includes("no matches for kind")) throw new Error(stderr);
        return code === 0 ? code : undefined;
      });
      const read = await workstation.kubectl(["get", "widgets", "first", "-o", "jsonpath={.spec.colour}"]);
      t.equal(read.stdout, "green", read.stderr);
      t.equal(await pid(), before, "the API server was not restarted");
    });

    await t.test(
      "bootstrap installs the next release and refuses the downgrade before changing anything",
      async (t) => {
        const up = ["bootstrap", ...all, "--kubernetes-version", "v1.21.0"];
        const forward = await workstation.khw(up);
        t.equal(forward.code, 0, forward.stderr);
        t.match(
          (await workstation.kubectl(["version", "-o", "json"])).stdout,
          /"serverVersion".*"gitVersion": "v1\.21\.0"/s,
        );
        await testbed.mirror.clearLog();
        const before = await Promise.all(testbed.nodes.map(fingerprint));
        // khw.yaml still specifies v1.20.2.
        for (const command of ["bootstrap", "plan"]) {
          const down = await workstation.khw([command, ...all]);
          t.match(
            down,
            { code: 69, stderr: /Kubernetes v1\.21\.0 cannot be changed to v1\.20\.2: a lower minor release/ },
            command,
          );
        }
        const skipped = await workstation.khw(["upgrade", "--to", "v1.23.0", "--yes", ...all]);
        t.match(skipped, { code: 69, stderr: /Kubernetes v1\.21\.0 cannot be changed to v1\.23\.0 in one step/ });
        t.strictSame(await Promise.all(testbed.nodes.map(fingerprint)), before, "no file changed");
        const again = await workstation.khw(up);
        t.equal(again.code, 0, again.stderr);
        t.strictSame(await testbed.mirror.log(), [], "the mirror was not contacted");
      },
    );
  });
}
