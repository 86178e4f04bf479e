/**
 * Waits until kubernetes.pem expires on three machines under load. The API servers and etcd use this certificate. From
 * then on, new connections fail. The agents must not restart any component. They must report the certificate and the
 * remedy, and install the next certificate.
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import t from "tap";

import { issueForCluster } from "../../client/pki/cluster/issue.ts";
import { journal, openScene, scenario } from "../fixtures/faults.ts";
import { given } from "../fixtures/given.ts";
import { startLoad, tell } from "../fixtures/serving.ts";
import type { TestbedNode } from "../testbed/index.ts";
import { laterVersion } from "../testbed/workstation.ts";

const nodes = "controller-0,1,2";
const dayMillis = 86_400_000;
/** How long the certificate is valid after it is issued. A rolling update must finish within this time. */
const validMillis = 300_000;
/**
 * How long the certificate stays expired. This is a multiple of the time after which an agent considers a component
 * dead.
 */
const expiredMillis = 120_000;
/** The processes of these units must keep running. The other components exit when they lose leadership. */
const kept = ["etcd", "kube-apiserver", "nginx"];

async function processes(node: TestbedNode): Promise<string> {
  return node.must(["systemctl", "show", "-p", "Id,MainPID,NRestarts,ExecMainStartTimestampMonotonic", ...kept]);
}

t.test("an expired certificate of the API servers and etcd is reported and can be renewed", async (t) => {
  await using scene = await openScene(3, "", { withEtcd: false, version: laterVersion });
  const { testbed, workstation, bootstrap } = scene;
  const first = await bootstrap();
  t.equal(first.code, 0, first.stderr);

  const until = await issueShort();
  const brought = await bootstrap();
  t.equal(brought.code, 0, brought.stdout + brought.stderr);
  t.ok(Date.now() < until, `the certificate is in use before it expires: ${(until - Date.now()) / 1000} s left`);
  const load = await startLoad(testbed, { rate: 5 });
  const before = await Promise.all(testbed.nodes.map(processes));
  const journalsBefore = await Promise.all(testbed.nodes.map(journal));

  await scenario(t, "no agent restarts a component in the two minutes after the expiry", async (t) => {
    await sleep(Math.max(0, until - Date.now()) + expiredMillis);
    t.strictSame(
      await Promise.all(testbed.nodes.map(processes)),
      before,
      "the API servers, etcd and nginx were not restarted",
    );
    for (const [index, node] of testbed.nodes.entries()) {
      const lines = (await journal(node)).slice(journalsBefore[index]?.length ?? 0);
      t.notMatch(lines, /restarted by the agent/, node.name);
      for (const line of lines.split("\n")) t.comment(`${node.name}: ${line}`);
      const others = await node.must([
        "systemctl",
        "show",
        "-P",
        "NRestarts",
        "kube-controller-manager",
        "kube-scheduler",
      ]);
      t.comment(
        `${node.name}: systemd restarted the controller manager and the scheduler ${others.trim().split(/\s+/).join(" and ")} times`,
      );
    }
  });

  await scenario(t, "status and doctor name the certificate and the remedy", async (t) => {
    const status = await workstation.khw(["status", "--nodes", nodes]);
    const doctor = await workstation.khw(["doctor", "--nodes", nodes]);
    for (const { code, stdout: printed } of [status, doctor]) {
      t.not(code, 0);
      // Joins the lines that doctor has wrapped.
      const stdout = printed.replaceAll(/\s+/g, " ");
      for (const { name } of testbed.nodes) {
        const served = "the certificate that it presents expired at \\S+: /var/lib/kubernetes/kubernetes\\.pem";
        for (const component of ["kube-apiserver", "etcd"]) {
          t.match(
            stdout,
            new RegExp(`${name}: ${component}: ${served} (hint|remedy): run \`khw-client pki renew kubernetes\``),
          );
        }
        for (const file of ["/var/lib/kubernetes/kubernetes.pem", "/etc/etcd/kubernetes.pem"]) {
          t.match(
            stdout,
            new RegExp(`${name}: ${file}: it expired on [0-9-]+ (hint|remedy): khw-client pki renew kubernetes`),
          );
        }
      }
    }
    for (const line of `${status.stdout}\n${doctor.stdout}`.split("\n")) t.comment(line);
  });

  await scenario(t, "pki renew restores a healthy cluster", async (t) => {
    const renewed = await workstation.khw(["pki", "renew", "kubernetes", "--nodes", nodes], { timeoutMs: 600_000 });
    t.equal(renewed.code, 0, renewed.stdout + renewed.stderr);
    await given("the cluster is healthy", async () => {
      const { code } = await workstation.khw(["status", "--nodes", nodes]);
      return code === 0 ? code : undefined;
    });
    const report = await load.stop();
    t.comment(tell("new connections", report.fresh));
    t.comment(tell("a keep-alive connection", report.kept));
  });

  /**
   * Writes a kubernetes.pem that expires soon to the credentials folder. Returns its expiry time in milliseconds since
   * the epoch.
   */
  async function issueShort(): Promise<number> {
    const read = (name: string): Promise<string> => readFile(join(testbed.credentials, name), "utf8");
    const authority = { certificate: await read("ca.pem"), key: await read("ca-key.pem") };
    const expires = Date.now() + validMillis;
    const cluster = {
      controllers: testbed.nodes.map(({ name, address }) => ({ name, internalIp: address })),
      publicAddress: testbed.publicAddress,
      serviceCidr: "10.32.0.0/24",
    };
    const request = { name: "kubernetes", cluster, extraNames: [], algorithm: "ecdsa", days: 1 } as const;
    const context = { now: new Date(expires - dayMillis), daysField: "days" };
    const { certificate, key } = await issueForCluster(authority, request, context);
    await writeFile(join(testbed.credentials, "kubernetes.pem"), certificate);
    await writeFile(join(testbed.credentials, "kubernetes-key.pem"), key, { mode: 0o600 });
    return expires;
  }
});
