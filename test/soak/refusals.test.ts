/** Provokes each kind of upgrade refusal once, on three machines. A refused command changes nothing. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import t, { type Test } from "tap";
import { openScene, scenario } from "../fixtures/faults.ts";
import { given } from "../fixtures/given.ts";
import { folderMirror, publishRelabelled } from "../fixtures/relabelled.ts";
import { readFacts } from "../fixtures/untouched.ts";
import type { TestbedNode } from "../testbed/index.ts";

const all = ["--nodes", "controller-0,1,2"];
const [running, next] = ["v1.21.0", "v1.22.0"];

t.test("an unsafe upgrade of three machines is refused and changes nothing", async (t) => {
  await using scene = await openScene(3, "", { withEtcd: false });
  const { testbed, workstation, bootstrap, node } = scene;
  // khw.yaml still names v1.20.2, as after an upgrade whose version was given only on the command line.
  const first = await bootstrap("--kubernetes-version", running);
  t.equal(first.code, 0, first.stderr);
  await publishRelabelled(testbed, next);

  const kubectl = async (...args: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await workstation.kubectl(args);
    if (code !== 0) throw new Error(`kubectl ${args.join(" ")}: ${stderr}`);
    return stdout;
  };
  const send = async (object: object, ...args: readonly string[]): Promise<void> => {
    const file = join(workstation.folder, "object.json");
    await writeFile(file, JSON.stringify(object));
    await kubectl(...args, "-f", file);
  };
  const upgrade = ["upgrade", "--to", next, "--yes", "--mirror", folderMirror];
  const isGreen = () =>
    given("status reports a healthy cluster", async () =>
      (await workstation.khw(["status", ...all])).code === 0 ? true : undefined,
    );
  const refuses = async (t: Test, command: readonly string[], words: readonly RegExp[]): Promise<void> => {
    const before = await readFacts(testbed);
    const { code, stdout, stderr } = await workstation.khw([...command, ...all]);
    t.equal(code, 69, stdout + stderr);
    for (const each of words) t.match(stderr, each);
    t.strictSame(await readFacts(testbed), before, "nothing changed");
  };
  await scenario(
    t,
    "upgrade refuses skipped minor releases, downgrades and a rollback without a recorded upgrade",
    async (t) => {
      await isGreen();
      await refuses(t, ["upgrade", "--to", "v1.23.0", "--yes"], [/in one step/, /go to the newest patch of v1\.22/]);
      // A bootstrap without flags uses the release in khw.yaml.
      await refuses(t, ["bootstrap"], [/Kubernetes v1\.21\.0 cannot be changed to v1\.20\.2: a lower minor release/]);
      const etcd = ["bootstrap", "--kubernetes-version", running, "--etcd-version"];
      await refuses(t, [...etcd, "v3.6.11"], [/etcd v3\.4\.23 cannot be changed to v3\.6\.11 in one step/]);
      await refuses(
        t,
        [...etcd, "v3.4.15"],
        [/etcd v3\.4\.23 is running, and the requested release v3\.4\.15 is older/],
      );
      await refuses(t, [...etcd, "v3.5.2"], [/etcd v3\.5\.2 can corrupt its data after a crash/]);
      await refuses(t, ["upgrade", "--back", "--yes"], [/no upgrade is recorded/]);
      await refuses(t, [...upgrade, "--emulate"], [/v1\.22\.0.*emulat/s]);
    },
  );

  await scenario(t, "commands with another purpose refuse to change the release", async (t) => {
    await isGreen();
    const words = [
      /this command would also change Kubernetes from v1\.21\.0 to v1\.20\.2/,
      /set kubernetes\.version to v1\.21\.0/,
    ];
    await refuses(t, ["pki", "renew", "--all"], words);
    await refuses(t, ["remove", "controller-2"], words);
    await refuses(t, ["pki", "rotate-service-account-key"], words);
  });

  await scenario(t, "upgrade refuses a disk that is too small", async (t) => {
    await isGreen();
    // The small disk holds a copy of the files, so apt and dpkg still work.
    await node(1).must([
      "sh",
      "-ec",
      "mount -t tmpfs -o size=64M tmpfs /mnt; cp -a /var/lib/dpkg/. /mnt; mount --bind /mnt /var/lib/dpkg; dd if=/dev/zero of=/var/lib/dpkg/fill bs=1M count=60 || true",
    ]);
    await refuses(t, upgrade, [/controller-1: .*only \d+ MiB are free in \/var\/lib\/dpkg/]);
    await node(1).must(["umount", "/var/lib/dpkg", "/mnt"]);
  });

  await scenario(t, "upgrade refuses clocks that differ, and certificates that expire within a week", async (t) => {
    await isGreen();
    await shiftClock([node(2)], 45_000);
    await isGreen();
    await refuses(t, upgrade, [/controller-2: preflight: its clock is 4\d s ahead of that of controller-0/]);
    const ends = Date.parse(
      (
        await node(0).must(["openssl", "x509", "-enddate", "-noout", "-in", "/var/lib/kubernetes/kubernetes.pem"])
      ).replace("notAfter=", ""),
    );
    await shiftClock(testbed.nodes, ends - Date.now() - 3 * 24 * 3_600_000);
    await given("the agents have checked their certificates", async () =>
      /kubernetes\.pem.*expires/.test((await workstation.khw(["status", ...all])).stdout) ? true : undefined,
    );
    await refuses(t, upgrade, [/kubernetes\.pem: it expires on/]);
    for (const each of testbed.nodes) await unshiftClock(each);
  });

  await scenario(t, "upgrade refuses kubelets that are too new or too old", async (t) => {
    for (const [version, word] of [
      ["v1.22.0", /worker-0.*newer/],
      ["v1.19.0", /worker-0.*too old/],
    ] as const) {
      const worker = { apiVersion: "v1", kind: "Node", metadata: { name: "worker-0" } };
      await send(worker, "create");
      const status = { nodeInfo: { ...emptyNodeInfo, kubeletVersion: version } };
      await send({ ...worker, status }, "replace", "--raw", "/api/v1/nodes/worker-0/status");
      await isGreen();
      await refuses(t, upgrade, [word]);
      await kubectl("delete", "node", "worker-0");
    }
  });

  await scenario(t, "upgrade refuses a webhook or an APIService without a working backend", async (t) => {
    const service = { namespace: "default", name: "absent" };
    const clientConfig = { service: { ...service, path: "/" } };
    const rules = [{ apiGroups: ["example.com"], apiVersions: ["v1"], operations: ["CREATE"], resources: ["things"] }];
    const webhook = {
      name: "a.example.com",
      clientConfig,
      rules,
      sideEffects: "None",
      admissionReviewVersions: ["v1"],
    };
    await send(
      {
        apiVersion: "admissionregistration.k8s.io/v1",
        kind: "ValidatingWebhookConfiguration",
        metadata: { name: "absent" },
        webhooks: [{ ...webhook, failurePolicy: "Fail" }],
      },
      "create",
    );
    await isGreen();
    await refuses(t, upgrade, [
      /absent\/a\.example\.com has no working backend: the service default\/absent does not exist/,
    ]);
    await kubectl("delete", "validatingwebhookconfiguration", "absent");
    await send(
      {
        apiVersion: "apiregistration.k8s.io/v1",
        kind: "APIService",
        metadata: { name: "v1.example.com" },
        spec: { group: "example.com", version: "v1", groupPriorityMinimum: 1, versionPriority: 1, service },
      },
      "create",
    );
    await given("the API server has checked the APIService", async () =>
      (await kubectl("get", "apiservice", "v1.example.com", "-o", "json")).includes("ServiceNotFound")
        ? true
        : undefined,
    );
    await refuses(t, upgrade, [/v1\.example\.com has no working backend/]);
    await kubectl("delete", "apiservice", "v1.example.com");
  });

  await scenario(t, "upgrade refuses a manually drained node and a node whose agent does not respond", async (t) => {
    await isGreen();
    await workstation.mustKhw(["drain", "controller-1", ...all]);
    await refuses(t, upgrade, [/controller-1.*drained/]);
    // The same check applies to a release that bootstrap would begin.
    await refuses(t, ["bootstrap", "--kubernetes-version", next, "--mirror", folderMirror], [/controller-1.*drained/]);
    await workstation.mustKhw(["undrain", "controller-1", ...all]);
    await isGreen();
    await node(2).must(["systemctl", "stop", "khw-agent"]);
    await refuses(t, upgrade, [/controller-2/]);
    await node(2).must(["systemctl", "start", "khw-agent"]);
  });

  await scenario(t, "upgrade is refused if clients still request an API that the new release removes", async (t) => {
    await kubectl("get", "--raw", "/apis/networking.k8s.io/v1beta1/ingresses");
    await isGreen();
    await refuses(t, upgrade, [/networking\.k8s\.io\/v1beta1 ingresses/, /--allow-removed-apis/]);
  });

  await scenario(
    t,
    "a command for another release is refused during an upgrade, and a third release later",
    async (t) => {
      await isGreen();
      const allowed = [...upgrade, "--allow-removed-apis", ...all];
      const client = scene.start(...allowed);
      await given("the upgrade has drained its first node", async () =>
        (await workstation.khw(["status", ...all])).stdout.includes("for a rolling update") ? true : undefined,
      );
      t.ok(client.kill(), "the client was killed");
      await client.ended;
      await refuses(
        t,
        ["bootstrap", "--kubernetes-version", running],
        [/the upgrade from v1\.21\.0 to v1\.22\.0.*has just drained this node/],
      );
      const paused = await workstation.khw([...allowed, "--pause-after", "1"]);
      t.equal(paused.code, 0, paused.stdout + paused.stderr);
      await refuses(
        t,
        ["upgrade", "--to", "v1.22.1", "--yes"],
        [/update of Kubernetes from v1\.21\.0 to v1\.22\.0 is not finished/],
      );
      const back = await workstation.khw(["upgrade", "--back", "--yes", ...all]);
      t.equal(back.code, 0, back.stdout + back.stderr);
      await isGreen();
    },
  );
});

/** Moves the clock of these nodes' agents. All testbed machines share one kernel, and therefore one system clock. */
async function shiftClock(nodes: readonly TestbedNode[], millis: number): Promise<void> {
  const script = `const now = Date.now; Date.now = () => now() + ${Math.round(millis)}`;
  const url = `data:text/javascript;base64,${Buffer.from(script).toString("base64")}`;
  for (const node of nodes) {
    await node.must([
      "sh",
      "-ec",
      `mkdir -p ${clockFolder}
       start=$(sed -n 's/^ExecStart=//p' $(systemctl show -P FragmentPath khw-agent))
       printf '[Service]\\nExecStart=\\nExecStart=%s\\n' "$(echo "$start" | sed 's| | --import=${url} |')" >${clockFolder}/clock.conf
       systemctl daemon-reload
       systemctl restart khw-agent`,
    ]);
  }
}

async function unshiftClock(node: TestbedNode): Promise<void> {
  await node.must(["sh", "-ec", `rm -r ${clockFolder}; systemctl daemon-reload; systemctl restart khw-agent`]);
}

const clockFolder = "/run/systemd/system/khw-agent.service.d";

const emptyNodeInfo = {
  architecture: "",
  bootID: "",
  containerRuntimeVersion: "",
  kernelVersion: "",
  kubeProxyVersion: "",
  machineID: "",
  operatingSystem: "",
  osImage: "",
  systemUUID: "",
};
