/** Runs three controllers with the production profile, and switches to the lab profile and back under load. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";

import t, { type Test } from "tap";

import { checkAuditLog } from "../fixtures/audit-log.ts";
import { controllerFiles, fingerprint, openScene, type Scene, scenario } from "../fixtures/faults.ts";
import { given } from "../fixtures/given.ts";
import { startLoad, tell } from "../fixtures/serving.ts";
import type { TestbedNode } from "../testbed/index.ts";
import { laterVersion } from "../testbed/workstation.ts";

const all = ["--nodes", "controller-0,1,2"];
const policy = "/etc/kubernetes/config/audit-policy.yaml";
const services = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"];

t.test("three controllers", async (t) => {
  // The testbed's programs are from v1.20.2, which lacks the admission plugin for this setting.
  const settings = "hardening: {denyExternalIps: false}\n";
  await using scene = await openScene(3, settings, { withEtcd: false, version: laterVersion });
  const { workstation, bootstrap, testbed, node } = scene;
  const made = await workstation.khw(["pki", "create", ...all, "--profile", "production"]);
  t.equal(made.code, 0, made.stdout + made.stderr);
  const begun = performance.now();
  const first = await bootstrap("--profile", "production");
  t.equal(first.code, 0, first.stdout + first.stderr);
  t.comment(`bootstrap: ${((performance.now() - begun) / 1000).toFixed(1)} s`);
  const production = await filesOf(testbed.nodes);

  await scenario(t, "the audit log records that a Secret was read, but not its contents", (t) =>
    checkAuditLog(t, scene),
  );

  await scenario(t, "ports, ciphers, profiling and core dumps match the table in docs/profiles.md", async (t) => {
    for (const machine of testbed.nodes) {
      const sockets = await machine.must(["ss", "--tcp", "--listening", "--numeric", "--no-header"]);
      const addresses = sockets.split("\n").map((line) => line.trim().split(/\s+/)[3] ?? "");
      t.strictSame(
        addresses.filter((address) => /:(10251|10252|10257|10259)$/.test(address)).toSorted(),
        ["127.0.0.1:10251", "127.0.0.1:10257", "127.0.0.1:10259"],
        machine.name,
      );
      for (const unit of services) {
        const script = `grep 'Max core file size' /proc/$(systemctl show --property=MainPID --value ${unit})/limits`;
        t.match(await machine.must(["sh", "-c", script]), /Max core file size +0 +0 /, unit);
      }
    }
    for (const port of [6443, 2379, 10257, 10259]) {
      for (const weak of [
        ["--tls-max", "1.1"],
        ["--tls-max", "1.2", "--ciphers", "AES128-SHA:ECDHE-RSA-AES128-SHA"],
      ]) {
        const { code } = await node(0).run(["curl", "--silent", "--insecure", ...weak, `https://127.0.0.1:${port}/`]);
        t.equal(code, 35, `port ${port} refuses ${weak.join(" ")}`);
      }
      const strong = ["--tls-max", "1.2", "--ciphers", "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES256-GCM-SHA384"];
      const files = "/var/lib/kubernetes/kubernetes";
      const identity = ["--cert", `${files}.pem`, "--key", `${files}-key.pem`];
      const { code } = await node(0).run([
        "curl",
        "--silent",
        "--insecure",
        ...identity,
        ...strong,
        `https://127.0.0.1:${port}/`,
      ]);
      t.not(code, 35, `port ${port} accepts a strong cipher suite`);
    }
    const profiling = await workstation.kubectl(["get", "--raw", "/debug/pprof/"]);
    t.not(profiling.code, 0, profiling.stdout);
    const { code, stdout } = await node(0).run(["curl", "--silent", "http://127.0.0.1:10251/debug/pprof/"]);
    t.match(stdout, "404", `the scheduler serves no profiling data: curl exited with ${code}, output: ${stdout}`);
    const apis = await workstation.kubectl(["api-versions"]);
    t.notMatch(apis.stdout, "alpha");
    const status = await workstation.khw(["status", ...all]);
    t.equal(status.code, 0, status.stdout);
  });

  await scenario(t, "a policy that was changed or removed on a controller is restored", async (t) => {
    const before = await node(1).must(["cat", policy]);
    for (const damage of [`echo '- level: None' >>${policy}`, `rm ${policy}`, `chmod 0644 ${policy}`]) {
      await node(1).must(["sh", "-c", damage]);
      await given(`the policy is restored after ${damage}`, async () =>
        (await node(1).run(["sh", "-c", `stat --format=%a ${policy}; cat ${policy}`])).stdout === `600\n${before}`
          ? true
          : undefined,
      );
      t.pass(`restored after ${damage}`);
    }
  });

  await scenario(t, "bootstrap refuses an invalid policy file, names the file, and changes nothing", async (t) => {
    const prints = await Promise.all(testbed.nodes.map(fingerprint));
    await writeFile(
      join(workstation.folder, "audit.yaml"),
      "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: All}]\n",
    );
    const { code, stderr } = await bootstrap("--profile", "production", "--audit-policy", "audit.yaml");
    t.not(code, 0);
    t.match(
      stderr,
      /audit\.yaml:3:17: rules\[0\]\.level: "All" is not one of None, Metadata, Request, RequestResponse/,
    );
    const missing = await bootstrap("--profile", "production", "--kubernetes-file", "a.yaml=missing.yaml");
    t.match(missing.stderr, /files\.a\.yaml: .*missing\.yaml cannot be read: ENOENT/);
    t.strictSame(await Promise.all(testbed.nodes.map(fingerprint)), prints);
  });

  await scenario(
    t,
    "a change from production to lab under load makes no request fail and restores the lab's files",
    async (t) => {
      const planned = await workstation.khw(["plan", ...all, "--profile", "lab"]);
      t.match(planned.stdout, /audit-policy\.yaml must be removed/);
      await underLoad(t, scene, "lab");
      for (const machine of testbed.nodes) {
        t.notMatch(await machine.must(["ls", "/etc/kubernetes/config"]), "audit-policy", machine.name);
        const units = await machine.must([
          "sh",
          "-c",
          "cat /etc/systemd/system/kube-*.service /etc/systemd/system/etcd.service",
        ]);
        t.match(units, "--runtime-config='api/all=true'");
        t.notMatch(units, /profiling|cipher|audit-policy-file|requestheader/);
      }
    },
  );

  await scenario(
    t,
    "a change from lab to production completes when it is rerun after the client was killed",
    async (t) => {
      const running = scene.begin("--profile", "production");
      await given("the first controller has the policy", async () => {
        const found = await Promise.all(testbed.nodes.map((node) => node.run(["test", "-e", policy])));
        return found.some(({ code }) => code === 0) ? true : undefined;
      });
      running.kill();
      await running.ended;
      await underLoad(t, scene, "production");
      t.strictSame(await filesOf(testbed.nodes), production, "the files are the same as after the bootstrap");
    },
  );
});

async function filesOf(nodes: readonly TestbedNode[]): Promise<string[]> {
  const texts = await Promise.all(nodes.map(controllerFiles));
  return texts.map((text) => text.replaceAll(/^.*50-khw-inputs\.conf.*$/gm, ""));
}

async function underLoad(t: Test, { testbed, bootstrap }: Scene, profile: string): Promise<void> {
  const running = await startLoad(testbed, { rate: 10, reads: "/api/v1/namespaces/default/secrets/mine" });
  const start = performance.now();
  const { code, stdout, stderr } = await bootstrap("--profile", profile);
  t.comment(`to ${profile}: ${((performance.now() - start) / 1000).toFixed(1)} s`);
  const report = await running.stop();
  t.equal(code, 0, stdout + stderr);
  t.comment(tell("new connections", report.fresh));
  t.comment(tell("keep-alive connections", report.kept));
  t.strictSame([report.fresh.failed.slice(0, 5), report.kept.failed.slice(0, 5)], [[], []]);
}
