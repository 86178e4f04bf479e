/**
 * Enables and then disables the aggregation layer of a running cluster while clients use the load balancer. In between,
 * the test uses an extension API and a webhook through every API server, and doctor checks for missing routes.
 */
import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import t, { type Test } from "tap";
import { apiService, serviceAt, startExtension } from "../fixtures/extension.ts";
import { openScene, type Scene, scenario } from "../fixtures/faults.ts";
import { given } from "../fixtures/given.ts";
import { startLoad, tell } from "../fixtures/serving.ts";
import { laterVersion } from "../testbed/workstation.ts";

const all = ["--nodes", "controller-0,1"];
const aggregation = [...all, "--aggregation"];
const load = { rate: 5 };
const whoami = "/apis/example.com/v1/whoami";
const clientKey = "/var/lib/kubernetes/front-proxy-client-key.pem";

t.test("a running cluster", async (t) => {
  await using scene = await openScene(2, "", { withEtcd: false, version: laterVersion });
  const { testbed, workstation, bootstrap } = scene;
  const first = await bootstrap();
  t.equal(first.code, 0, first.stderr);
  const labUnits = await units(scene);

  await scenario(
    t,
    "bootstrap refuses the aggregation layer if its files are missing, and changes nothing",
    async (t) => {
      const { code, stderr } = await bootstrap("--aggregation");
      t.not(code, 0);
      t.match(
        stderr,
        /front-proxy-ca\.pem: is missing \(create missing files with khw-client pki create --aggregation/,
      );
      t.strictSame(await units(scene), labUnits);
    },
  );

  await scenario(t, "no request fails while the aggregation layer is turned on", async (t) => {
    await workstation.mustKhw(["pki", "create", ...aggregation]);
    await workstation.mustKhw(["pki", "check", ...aggregation]);
    const plan = await workstation.khw(["plan", ...aggregation]);
    t.match(plan.stdout, /front-proxy-client-key\.pem/);
    t.match(plan.stdout, /kube-apiserver/);
    await rollUnderLoad(t, scene, ["--aggregation"]);
    for (const node of testbed.nodes) {
      t.match(await node.must(["stat", "-c", "%a %U", clientKey]), /^600 root/);
      t.notMatch(await node.must(["ls", "/var/lib/kubernetes"]), "front-proxy-ca-key.pem");
    }
    t.equal((await workstation.khw(["plan", ...aggregation])).code, 0, "plan finds no difference");
  });

  await using extension = await startExtension(testbed);
  await create(scene, extension.objects);

  await scenario(t, "an extension API answers through the load balancer, and sees the user's name", async (t) => {
    const admin = await given("the extension API answers", async () => ask(scene, []));
    t.match(admin, { kind: "Who", client: "front-proxy-client", user: "admin" });
    t.match(admin.groups, "system:masters");
    t.equal(
      await ask(scene, ["--as=alice"]),
      undefined,
      "the API server itself refuses alice while she has no permission",
    );
    await kubectl(scene, ["create", "clusterrolebinding", "who", "--clusterrole=cluster-admin", "--user=alice"]);
    for (const { name, address } of testbed.nodes) {
      const alice = await given(`alice reaches the extension API through ${name}`, async () =>
        ask(scene, [`--server=https://${address}:6443`, "--as=alice"]),
      );
      t.match(alice, { client: "front-proxy-client", user: "alice" }, name);
    }
  });

  await scenario(t, "a webhook rejects objects through every API server", async (t) => {
    for (const { name, address } of testbed.nodes) {
      const create = ["create", "secret", "generic", "--dry-run=server"];
      const secret = (called: string) =>
        workstation.kubectl([`--server=https://${address}:6443`, ...create, `${called}-${name}`]);
      const rejected = await given("the webhook is in use", async () => {
        const answer = await secret("rejected");
        return answer.code === 0 ? undefined : answer;
      });
      t.match(rejected.stderr, /names\.example\.com" denied the request: the extension server rejects this name/);
      t.equal((await secret("accepted")).code, 0);
    }
  });

  await scenario(t, "doctor reaches the backends, and names a missing route and a missing firewall rule", async (t) => {
    t.strictSame(await backendFindings(scene), []);
    await create(scene, [
      { apiVersion: "v1", kind: "Node", metadata: { name: "worker-7" } },
      ...serviceAt("routeless", { address: "10.200.7.5", port: 8443, node: "worker-7" }),
      apiService("v1.routeless.example.com", { service: "routeless" }),
      ...serviceAt("walled", { address: "10.240.0.99", port: 9443 }),
      apiService("v1.walled.example.com", { service: "walled" }),
    ]);
    const status = { addresses: [{ type: "InternalIP", address: "10.240.0.27" }] };
    const node = { apiVersion: "v1", kind: "Node", metadata: { name: "worker-7" }, status };
    await kubectl(scene, ["replace", "--raw", "/api/v1/nodes/worker-7/status", "-f", "-"], JSON.stringify(node));
    const found = await backendFindings(scene);
    for (const { where, subject, message, remedy } of found) t.comment(`${where} ${subject}: ${message} -> ${remedy}`);
    for (const { name } of testbed.nodes) {
      const own = new Map(found.filter(({ where }) => where === name).map((one) => [one.subject, one]));
      t.match(
        own.get("APIService v1.routeless.example.com")?.remedy,
        /^gcloud compute routes create kubernetes-route-10-200-7-0-24 .*--next-hop-address 10\.240\.0\.27 --destination-range 10\.200\.7\.0\/24/,
      );
      t.match(own.get("APIService v1.walled.example.com")?.remedy, /^gcloud compute firewall-rules create .*tcp:9443/);
      t.equal(own.size, 2);
    }
    await kubectl(scene, ["delete", "apiservice", "v1.routeless.example.com", "v1.walled.example.com"]);
    await kubectl(scene, ["delete", "node", "worker-7"]);
  });

  await scenario(t, "a changed key is repaired, and a renewed certificate is used", async (t) => {
    const [node] = testbed.nodes;
    const before = await node?.must(["sha256sum", clientKey]);
    await node?.must(["sh", "-c", `echo damaged >${clientKey}`]);
    await given("the key is repaired", async () =>
      (await node?.must(["sha256sum", clientKey])) === before ? true : undefined,
    );
    const renewed = await workstation.khw(["pki", "renew", "front-proxy-client", ...aggregation]);
    t.equal(renewed.code, 0, renewed.stdout + renewed.stderr);
    t.not(await node?.must(["sha256sum", clientKey]), before);
    for (const { name, address } of testbed.nodes) {
      const server = `--server=https://${address}:6443`;
      t.match(await given(`the extension API answers through ${name}`, async () => ask(scene, [server])), {
        user: "admin",
      });
    }
  });

  await scenario(t, "khw recreates the front-proxy CA's ConfigMap after its deletion", async (t) => {
    const map = ["configmap", "extension-apiserver-authentication", "--namespace=kube-system"];
    await kubectl(scene, ["delete", ...map]);
    const begun = Date.now();
    const content = await given("the ConfigMap exists again", async () => {
      const { code, stdout } = await workstation.kubectl(["get", ...map, "-o", "yaml"]);
      return code === 0 && stdout.includes("requestheader-client-ca-file") ? stdout : undefined;
    });
    t.comment(`the ConfigMap was recreated after ${((Date.now() - begun) / 1000).toFixed(1)} s`);
    t.match(content, /requestheader-allowed-names: '\["front-proxy-client"\]'/);
  });

  await scenario(t, "without the aggregation layer, doctor explains why webhooks fail", async (t) => {
    const findings = await backendFindings(scene, all);
    t.match(findings, [{ subject: "aggregation" }, { subject: "aggregation" }]);
  });

  await scenario(t, "the aggregation layer stays on while a webhook and an APIService need it", async (t) => {
    const before = await units(scene);
    for (const command of [
      ["plan", ...all],
      ["bootstrap", ...all],
    ]) {
      const { code, stdout, stderr } = await workstation.khw(command);
      t.not(code, 0, `${command[0]} reports the problem`);
      t.match(stdout + stderr, /ValidatingWebhookConfiguration extension\/\S+ would become unreachable/);
      t.match(stdout + stderr, /APIService v1\.example\.com would become unreachable/);
    }
    t.strictSame(await units(scene), before, "no unit was changed");
  });

  await scenario(t, "no request fails while the aggregation layer is turned off", async (t) => {
    await kubectl(scene, ["delete", "validatingwebhookconfiguration", "extension"]);
    await kubectl(scene, ["delete", "apiservice", "v1.example.com"]);
    await rollUnderLoad(t, scene, []);
    t.strictSame(await units(scene), labUnits, "the unit files are the same as before the layer was turned on");
    for (const node of testbed.nodes) t.notMatch(await node.must(["ls", "/var/lib/kubernetes"]), "front-proxy");
    t.ok(
      (await readdir(testbed.credentials)).includes("front-proxy-ca-key.pem"),
      "the front-proxy files stay on the workstation",
    );
  });
});

t.test("a new cluster", async (t) => {
  await using scene = await openScene(1, "aggregation: true\n", { withEtcd: false, version: laterVersion });
  const { workstation, testbed, node } = scene;
  const folder = join(workstation.folder, "new");
  await mkdir(folder);
  const { code, stdout, stderr } = await scene.bootstrap("--credentials", folder);
  t.equal(code, 0, stdout + stderr);
  t.ok((await readdir(folder)).includes("front-proxy-ca-key.pem"));
  t.match(await node(0).must(["systemctl", "cat", "kube-apiserver"]), /--enable-aggregator-routing=true/);
  const status = await workstation.khw(["status", "--nodes", "controller-0", "-o", "json"]);
  t.match(
    status.stdout,
    "/var/lib/kubernetes/front-proxy-client.pem",
    "status reports the expiry of the front-proxy certificate",
  );
  t.equal(testbed.nodes.length, 1);
});

/** Runs bootstrap with these arguments while clients use the load balancer. */
async function rollUnderLoad(t: Test, { testbed, bootstrap }: Scene, args: readonly string[]): Promise<void> {
  const running = await startLoad(testbed, load);
  const begun = Date.now();
  const { code, stdout, stderr } = await bootstrap(...args);
  const seconds = ((Date.now() - begun) / 1000).toFixed(0);
  const { fresh, kept } = await running.stop();
  t.equal(code, 0, stdout + stderr);
  t.comment(`bootstrap ${args.join(" ")}: ${seconds} s`);
  for (const [who, tally] of [
    ["new connections", fresh],
    ["keep-alive connections", kept],
  ] as const) {
    t.comment(tell(who, tally));
    t.strictSame(tally.failed, [], who);
  }
}

async function units({ testbed }: Scene): Promise<string[]> {
  const files = ["kube-apiserver", "kube-controller-manager", "kube-scheduler"];
  return Promise.all(
    testbed.nodes.map((node) =>
      node.must(["sha256sum", ...files.map((name) => `/etc/systemd/system/${name}.service`)]),
    ),
  );
}

async function kubectl({ workstation }: Scene, args: readonly string[], input?: string): Promise<string> {
  const { code, stdout, stderr } = await workstation.kubectl(args, input === undefined ? {} : { input });
  if (code !== 0) throw new Error(`kubectl ${args.join(" ")}: ${stderr}`);
  return stdout;
}

async function create(scene: Scene, items: readonly object[]): Promise<void> {
  await kubectl(scene, ["create", "-f", "-"], JSON.stringify({ apiVersion: "v1", kind: "List", items }));
}

/** Returns the extension API's answer, or undefined if the request fails. */
async function ask({ workstation }: Scene, flags: readonly string[]): Promise<Record<string, unknown> | undefined> {
  const { code, stdout } = await workstation.kubectl([...flags, "get", "--raw", whoami]);
  return code === 0 ? JSON.parse(stdout) : undefined;
}

interface Found {
  readonly where: string;
  readonly subject: string;
  readonly message: string;
  readonly remedy: string;
}

/** Returns doctor's findings about webhooks and APIServices. */
async function backendFindings({ workstation }: Scene, flags: readonly string[] = aggregation): Promise<Found[]> {
  const { stdout } = await workstation.khw(["doctor", ...flags, "-o", "json"]);
  const { findings }: { readonly findings: readonly Found[] } = JSON.parse(stdout);
  return findings.filter(({ subject }) => /^(?:APIService|ValidatingWebhook|aggregation)/.test(subject));
}
