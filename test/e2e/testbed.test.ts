import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";

import t from "tap";

import { must, run } from "../testbed/command.ts";
import { findTestbed, issue, makeAuthority, makeKey, startTestbed } from "../testbed/index.ts";
import type { Testbed, TestbedNode } from "../testbed/index.ts";
import { cacheFolder, stateRoot } from "../testbed/layout.ts";

const metadata = "http://metadata.google.internal/computeMetadata/v1";
const flavor = "Metadata-Flavor: Google";

/**
 * Returns every resource on this host that has the testbed's id in its name: mounts, namespaces, control groups,
 * folders and processes.
 */
async function traces(id: string): Promise<readonly string[]> {
  const of = async (argv: readonly string[]): Promise<readonly string[]> =>
    (await run(argv)).stdout.split("\n").filter((line) => line.includes(id));
  return [
    ...(await readFile("/proc/self/mountinfo", "utf8")).split("\n").filter((line) => line.includes(id)),
    ...(await of(["ip", "netns", "list"])),
    ...(await of(["find", "/sys/fs/cgroup", "-maxdepth", "2", "-name", `*${id}*`])),
    ...(await of(["ls", stateRoot, join(cacheFolder(), "disks")])),
    ...(await of(["ps", "-eo", "pid,args"])).filter((line) => !line.includes("ps -eo")),
  ];
}

/** Returns the first node. A testbed has at least one node. */
function first(testbed: Testbed): TestbedNode {
  const [node] = testbed.nodes;
  if (!node) throw new Error("a testbed without nodes");
  return node;
}

/** Resolves when the machine no longer has a PID 1. */
async function off(node: TestbedNode): Promise<void> {
  for (;;) {
    try {
      process.kill(node.leaderPid, 0);
    } catch {
      return;
    }
    await setImmediate();
  }
}

t.test("the testbed runs three machines on one host", async (t) => {
  const began = performance.now();
  const testbed = await startTestbed();
  t.teardown(() => testbed.stop());
  t.comment(`three machines and an etcd cluster: ${((performance.now() - began) / 1000).toFixed(1)} s`);
  const node = first(testbed);

  await t.test("each machine runs systemd, and no unit has failed", async (t) => {
    t.same(
      testbed.nodes.map(({ name, address }) => [name, address]),
      [
        ["controller-0", "10.240.0.10"],
        ["controller-1", "10.240.0.11"],
        ["controller-2", "10.240.0.12"],
      ],
    );
    for (const each of testbed.nodes) {
      t.equal(await each.must(["systemctl", "is-system-running", "--wait"]), "running\n", each.name);
      t.equal(await each.must(["hostname"]), `${each.name}\n`);
    }
  });

  await t.test("systemd can sandbox a service as on a real machine", async (t) => {
    const properties = ["ProtectSystem=strict", "PrivateTmp=yes", "PrivateDevices=yes", "ProtectKernelTunables=yes"];
    const more = [
      "ProtectHome=yes",
      "RestrictNamespaces=yes",
      "SystemCallFilter=@system-service",
      "NoNewPrivileges=yes",
    ];
    const options = [...properties, ...more].flatMap((property) => ["-p", property]);
    const sandboxed = ["systemd-run", "--quiet", "--wait", "--pipe", ...options, "touch", "/usr/here"];
    t.match(await node.run(sandboxed), { code: 1, stderr: /Read-only file system/ });
  });

  await t.test("the metadata server gives each machine its own metadata", async (t) => {
    for (const each of testbed.nodes) {
      const { name, address, externalAddress } = each;
      const get = (path: string): Promise<string> => each.must(["curl", "-sSf", "-H", flavor, `${metadata}/${path}`]);
      t.equal(await get("instance/name"), name);
      t.equal(await get("instance/network-interfaces/0/ip"), address);
      t.equal(await get("instance/network-interfaces/0/access-configs/0/external-ip"), externalAddress);
      t.equal(await get("instance/zone"), "projects/1234/zones/us-west1-c");
      t.equal(await get("project/attributes/google-compute-default-region"), "us-west1");
    }
    const plain = await node.must(["curl", "-sSi", `${metadata}/instance/name`]);
    t.match(plain, /^HTTP\/1.1 403 /, "a request without the Metadata-Flavor header is refused");
    const signed = await node.must(["curl", "-sSi", "-H", flavor, `${metadata}/instance/nothing`]);
    t.match(signed, /^HTTP\/1.1 404 [^]*Metadata-Flavor: Google/);
  });

  await t.test("the metadata server injects the configured faults", async (t) => {
    const get = (): ReturnType<TestbedNode["run"]> =>
      node.run(["curl", "-sSi", "--max-time", "2", "-H", flavor, `${metadata}/instance/name`]);
    t.teardown(() => testbed.metadata.setFaults());
    await testbed.metadata.setFaults({ kind: "status", status: 503, times: 1 }, { kind: "unsigned", times: 1 });
    t.match((await get()).stdout, /^HTTP\/1.1 503/);
    t.notMatch((await get()).stdout, /Metadata-Flavor/);
    t.match(
      (await get()).stdout,
      /Metadata-Flavor: Google/,
      "the third request is answered normally, because each fault applied only once",
    );
    await testbed.metadata.setFaults({ kind: "drop" });
    t.equal((await get()).code, 52, "curl reports an empty reply");
    await testbed.metadata.setFaults({ kind: "delay" });
    t.equal((await get()).code, 28, "curl times out");
    await testbed.metadata.setFaults({ kind: "body", body: "<html>" });
    t.match((await get()).stdout, /<html>$/);
  });

  await t.test("the mirror serves releases with their digests", async (t) => {
    const url = `${testbed.mirrorUrl}/v1.21.0/bin/linux/${process.arch === "arm64" ? "arm64" : "amd64"}/kubectl`;
    const fetched = "curl -sSf -o /tmp/kubectl $0 && echo $(curl -sSf $0.sha256) /tmp/kubectl | sha256sum -c";
    t.match(await node.must(["/bin/sh", "-c", fetched, url]), "OK");
    const resumed =
      "head -c 1000000 /tmp/kubectl >/tmp/part && curl -sSf -C - -o /tmp/part $0 && cmp /tmp/part /tmp/kubectl";
    await node.must(["/bin/sh", "-c", resumed, url]);
    const [last] = (await testbed.mirror.log()).slice(-1);
    t.match(last, { caller: node.address, range: "bytes=1000000-", status: 206, path: /kubectl$/ });
    t.equal((await node.run(["curl", "-sSf", `${testbed.mirrorUrl}/v9.99.0/bin/linux/amd64/kubectl`])).code, 22);
    const second = url.replace(testbed.mirrorUrl, testbed.secondMirrorUrl);
    t.match(await node.must(["curl", "-sSfI", second]), /ETag/i);
  });

  await t.test("the mirror injects the configured faults", async (t) => {
    const url = `${testbed.mirrorUrl}/v1.21.0/bin/linux/${process.arch === "arm64" ? "arm64" : "amd64"}/kubectl`;
    const get = (to: string): ReturnType<TestbedNode["run"]> =>
      node.run(["curl", "-sSf", "--max-time", "3", "-o", to, url]);
    t.teardown(() => testbed.mirror.setFaults());
    await testbed.mirror.setFaults({ kind: "cut", after: 70_000, path: "kubectl$" });
    t.equal((await get("/tmp/cut")).code, 18, "curl reports a partial file");
    t.equal(await node.must(["stat", "-c", "%s", "/tmp/cut"]), "70000\n");
    await testbed.mirror.setFaults({ kind: "stall", after: 70_000 });
    t.equal((await get("/tmp/stalled")).code, 28, "curl times out");
    await testbed.mirror.setFaults({ kind: "corrupt" });
    t.equal((await get("/tmp/corrupt")).code, 0);
    t.equal((await node.run(["cmp", "-s", "/tmp/corrupt", "/tmp/kubectl"])).code, 1);
    await testbed.mirror.setFaults({ kind: "throttle", rate: 1_000_000 });
    const timed = ["curl", "-sSf", "-r", "0-499999", "-o", "/dev/null", "-w", "%{time_total}", url];
    t.ok(Number(await node.must(timed)) > 0.45, "half a megabyte takes about half a second");
    await testbed.mirror.setFaults({ kind: "body", body: "0".repeat(64), path: "sha256$" });
    t.equal(await node.must(["curl", "-sSf", `${url}.sha256`]), "0".repeat(64));
  });

  await t.test("the etcd members form one healthy cluster and require client certificates over TLS", async (t) => {
    const keys = ["--cacert=/etc/etcd/ca.pem", "--cert=/etc/etcd/kubernetes.pem", "--key=/etc/etcd/kubernetes-key.pem"];
    const health = await node.run(["etcdctl", ...keys, "endpoint", "health", "--cluster"]);
    t.equal(health.code, 0);
    t.equal(`${health.stdout}${health.stderr}`.match(/is healthy/g)?.length, 3);
    t.not(
      (await node.run(["curl", "-sSk", "https://10.240.0.11:2379/health"])).code,
      0,
      "etcd refuses a client without a certificate",
    );
  });

  await t.test(
    "the credentials match the labs' credentials, and tests can replace them with invalid credentials",
    async (t) => {
      const folder = await mkdtemp(join(tmpdir(), "testbed-"));
      t.teardown(() => rm(folder, { recursive: true }));
      await must(["cp", "-a", `${testbed.credentials}/.`, folder]);
      const openssl = (...args: readonly string[]): ReturnType<typeof run> =>
        run(["openssl", ...args], { cwd: folder });
      const verify = (): ReturnType<typeof run> => openssl("verify", "-CAfile", "ca.pem", "kubernetes.pem");

      t.equal((await verify()).code, 0);
      const shown = await openssl("x509", "-in", "kubernetes.pem", "-noout", "-subject", "-ext", "subjectAltName");
      t.match(
        shown.stdout,
        /C = US, ST = Oregon, L = Portland, O = Kubernetes, OU = Kubernetes The Hard Way, CN = kubernetes/,
      );
      for (const address of ["10.32.0.1", "10.240.0.12", testbed.publicAddress])
        t.match(shown.stdout, `IP Address:${address},`);
      t.equal(
        await must(["stat", "-c", "%a", join(folder, "ca-key.pem"), join(folder, "admin.kubeconfig")]),
        "600\n600\n",
      );

      await issue(folder, "kubernetes", { days: -1 });
      t.match((await verify()).stderr, /certificate has expired/);
      await makeAuthority(join(folder, "other"));
      await issue(folder, "kubernetes", { authority: join(folder, "other") });
      t.match((await verify()).stderr, /verification failed/);
      await makeKey(folder, "admin");
      const publicKey = async (...args: readonly string[]): Promise<string> => (await openssl(...args)).stdout;
      t.not(
        await publicKey("x509", "-in", "admin.pem", "-noout", "-pubkey"),
        await publicKey("rsa", "-in", "admin-key.pem", "-pubout"),
      );
    },
  );

  await t.test("apt installs nginx on a machine", async (t) => {
    await node.must(["apt-get", "-qq", "update"]);
    await node.must(["apt-get", "-qq", "-y", "install", "nginx"], { env: { DEBIAN_FRONTEND: "noninteractive" } });
    t.equal(await node.must(["systemctl", "is-active", "nginx"]), "active\n");
    t.match(
      await testbed.must(["curl", "-sSf", `http://${node.address}/`]),
      "nginx",
      "the workstation reaches nginx at the node's internal address",
    );
    t.match(
      await testbed.must(["curl", "-sSf", `http://${node.externalAddress}/`]),
      "nginx",
      "the workstation reaches nginx at the node's external address",
    );
    t.ok((await testbed.packages.log()).some(({ path }) => path.includes("%2b")));
  });

  await t.test("the Compute Engine API is reachable from the machines and the workstation", async (t) => {
    const url = `${testbed.computeUrl}projects/khw-testbed/zones/us-west1-c/instances`;
    for (const each of [node, testbed]) t.match(await each.must(["curl", "-sSf", url]), /"controller-2"/);
    t.match(await testbed.compute.log(), [{ method: "GET" }, { method: "GET" }]);
  });

  await t.test("files and folders keep their modes when they are copied to a machine", async (t) => {
    const folder = await mkdtemp(join(tmpdir(), "testbed-"));
    t.teardown(() => rm(folder, { recursive: true }));
    await mkdir(join(folder, "sub"));
    await writeFile(join(folder, "sub", "file"), "content", { mode: 0o640 });
    await node.copyIn(join(folder, "sub", "file"), "/tmp/one/two");
    await node.copyIn(folder, "/run/three");
    t.equal(
      await node.must(["stat", "-c", "%a %U %s", "/tmp/one/two", "/run/three/sub/file"]),
      "640 root 7\n".repeat(2),
    );
  });

  await t.test("a machine that is disconnected from the network is unreachable but keeps running", async (t) => {
    const ping = ["curl", "-sS", "-o", "/dev/null", "--connect-timeout", "1", `http://${node.address}/`];
    await node.disconnect();
    t.equal((await testbed.run(ping)).code, 28, "curl times out");
    t.equal(await node.must(["systemctl", "is-active", "nginx"]), "active\n");
    await node.connect();
    t.equal((await testbed.run(ping)).code, 0);
  });

  await t.test("a test can skew the clock of a single service", async (t) => {
    const unit = "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'date +%%s >/tmp/clock'\n";
    await node.must(["tee", "/run/systemd/system/clock.service"], { input: unit });
    const offset = async (): Promise<number> => {
      await node.must(["systemctl", "start", "clock.service"]);
      return Math.round(Number(await node.must(["cat", "/tmp/clock"])) - Date.now() / 1000);
    };
    await node.skewClock("clock.service", 3600);
    t.ok(Math.abs((await offset()) - 3600) < 5);
    await node.skewClock("clock.service", -90);
    t.ok(Math.abs((await offset()) + 90) < 5);
    await node.skewClock("clock.service", 0);
    t.ok(Math.abs(await offset()) < 5);
  });

  await t.test("a machine that loses power keeps its disk", async (t) => {
    const { leaderPid } = node;
    await node.must(["/bin/sh", "-c", "echo kept >/root/file && echo gone >/run/file"]);
    await node.powerOff();
    t.throws(() => node.leaderPid, /controller-0 is off/);
    await t.rejects(node.run(["true"]), /controller-0 is off/);
    t.equal(await readFile(join(node.root, "root/file"), "utf8"), "kept\n");
    const began = performance.now();
    await node.powerOn();
    t.comment(`boot: ${((performance.now() - began) / 1000).toFixed(1)} s`);
    t.not(node.leaderPid, leaderPid);
    t.equal(await node.must(["cat", "/root/file"]), "kept\n");
    t.equal((await node.run(["test", "-e", "/run/file"])).code, 1);
    await node.must(["systemctl", "start", "etcd", "nginx"]);
  });

  await t.test("a machine that shuts itself down can be started again at once", async (t) => {
    await t.rejects(node.powerOn(), /controller-0 is already on/);
    await node.run(["systemctl", "poweroff", "--force", "--force"]);
    await off(node);
    await node.powerOn();
    t.equal((await node.run(["true"])).code, 0);
    await node.must(["systemctl", "start", "etcd", "nginx"]);
  });

  await t.test("all machines come back after a simultaneous power loss", async () => {
    await Promise.all(testbed.nodes.map((each) => each.powerOff()));
    await Promise.all(testbed.nodes.map((each) => each.powerOn()));
    await Promise.all(testbed.nodes.map((each) => each.must(["systemctl", "start", "etcd"])));
  });

  await t.test(
    "another process can find the testbed by its name, and a stopped testbed leaves nothing behind",
    async (t) => {
      const listeners = process.listenerCount("SIGTERM");
      const found = await findTestbed(testbed.id);
      t.equal(found?.nodes.length, 3);
      t.equal(found && first(found).leaderPid, node.leaderPid);
      t.not((await traces(testbed.id)).length, 0);
      await found?.stop();
      t.same(await traces(testbed.id), []);
      t.equal(await findTestbed(testbed.id), undefined);
      await testbed.stop();
      t.equal(process.listenerCount("SIGTERM"), listeners - 1, "the testbed's SIGTERM listener is removed");
    },
  );
});

t.test("the next start removes everything that a killed testbed process left behind", async (t) => {
  const script = `
    import { startTestbed } from ${JSON.stringify(join(import.meta.dirname, "../testbed/index.ts"))};
    const { id } = await startTestbed({ nodes: 1, withEtcd: false });
    process.stdout.write(id);
    setInterval(() => {}, 1000);`;
  const start = async (): Promise<{ child: ReturnType<typeof spawn>; id: string }> => {
    const { NODE_OPTIONS: _, ...env } = process.env;
    const argv = ["--input-type=module-typescript", "--eval", script];
    const child = spawn(process.execPath, argv, { env, stdio: ["ignore", "pipe", "inherit"] });
    const [id] = await once(child.stdout, "data");
    return { child, id: String(id) };
  };

  const interrupted = await start();
  interrupted.child.kill("SIGTERM");
  t.same(await once(interrupted.child, "exit"), [null, "SIGTERM"]);
  t.same(await traces(interrupted.id), [], "a process that receives SIGTERM removes its testbed");

  const killed = await start();
  killed.child.kill("SIGKILL");
  await once(killed.child, "exit");
  t.not((await traces(killed.id)).length, 0);
  await using testbed = await startTestbed({ nodes: 1, withEtcd: false });
  t.same(await traces(killed.id), []);
  t.equal((await testbed.nodes[0]?.run(["true"]))?.code, 0);
  t.ok((await readdir(stateRoot)).includes(testbed.id), "a testbed is kept while its process is running");
});

t.test("if a machine cannot boot, the error contains its console output, and the testbed cleans up", async (t) => {
  await t.rejects(startTestbed({ name: "Not a name" }), /not a testbed name/);
  await using testbed = await startTestbed({ nodes: 1, withEtcd: false, name: "broken-boot" });
  await t.rejects(startTestbed({ name: "broken-boot" }), /already exists/);
  const node = first(testbed);
  await node.powerOff();
  await must(["rm", join(node.root, "usr/lib/systemd/systemd"), join(node.root, "sbin/init")]);
  await t.rejects(node.powerOn(), /controller-0 does not boot; its console's last lines:\n.*(init|No such file)/s);
});
