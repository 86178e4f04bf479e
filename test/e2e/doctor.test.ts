/** Runs the doctor and the support bundle on a healthy cluster, and then on a cluster with faults. */
import { mkdir, readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";

import t from "tap";

import { openScene, scenario } from "../fixtures/faults.ts";
import { secretsOf } from "../fixtures/secrets.ts";
import { must } from "../testbed/command.ts";

interface Report {
  readonly well: boolean;
  readonly findings: readonly {
    readonly severity: string;
    readonly where: string;
    readonly subject: string;
    readonly message: string;
  }[];
  readonly notRun: readonly object[];
  readonly passed: readonly object[];
}

const all = ["--nodes", "controller-0,1,2"];

t.test("three controllers", async (t) => {
  await using scene = await openScene(3);
  const { testbed, workstation, bootstrap, node } = scene;
  const first = await bootstrap();
  t.equal(first.code, 0, first.stderr);

  const examine = async (): Promise<Report & { readonly code: number }> => {
    const { code, stdout, stderr } = await workstation.khw(["doctor", "-o", "json", ...all]);
    t.equal(stderr, "");
    const report: Report = JSON.parse(stdout);
    return { ...report, code };
  };

  await scenario(t, "doctor runs every check and reports no error on a working cluster", async (t) => {
    const report = await examine();
    t.strictSame(report.notRun, []);
    t.strictSame(
      report.findings.filter(({ severity }) => severity === "error"),
      [],
    );
    t.comment(`${report.passed.length} checks passed; ${JSON.stringify(report.findings)}`);
    t.strictSame([report.code, report.well], [0, true]);
  });

  await scenario(t, "doctor finds faults on a node, the load balancer and the workstation in one run", async (t) => {
    await node(2).must(["systemctl", "disable", "--now", "khw-agent.service"]);
    await node(2).must(["systemctl", "stop", "nginx.service"]);
    await workstation.mustKhw(["drain", "controller-1", ...all]);
    const { code, findings, notRun } = await examine();
    t.equal(code, 1);
    const found = findings.map(({ severity, where, subject }) => `${severity} ${where}: ${subject}`);
    t.ok(found.includes("error controller-2: khw-agent"), found.join("; "));
    t.ok(found.includes("warning controller-1: maintenance"));
    t.ok(notRun.length > 5, "doctor reports that the checks that need this agent were not run");
  });

  await scenario(t, "the support bundle contains all available data but none of the cluster's secrets", async (t) => {
    const { code, stdout, stderr } = await workstation.khw(["support-bundle", "--file", "b.tar.gz", ...all]);
    t.equal(code, 0, stderr);
    t.comment(stdout);
    const file = join(workstation.folder, "b.tar.gz");
    t.equal((await stat(file)).mode & 0o777, 0o600);
    const into = join(testbed.folder, "unpacked");
    await mkdir(into);
    await must(["tar", "xzf", file, "-C", into]);
    const names = (await readdir(into, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
    const files = await Promise.all(names.map(({ parentPath, name }) => readFile(join(parentPath, name), "utf8")));
    const secrets = [
      ...(await secretsOf(testbed.credentials)),
      ...(await secretsOf(join(workstation.folder, "khw-pki"))),
    ];
    t.ok(secrets.length > 200, `the test searches for more than 200 secrets: ${secrets.length}`);
    t.strictSame(
      secrets.filter((secret) => files.some((text) => text.includes(secret))),
      [],
    );
    const paths = new Set(names.map(({ parentPath, name }) => join(parentPath, name).slice(into.length + 1)));
    for (const path of [
      "nodes/controller-0/journal/kube-apiserver.log",
      "nodes/controller-2/unreachable.txt",
      "load-balancer.json",
      "doctor.txt",
    ]) {
      t.ok(paths.has(join("b", path)), path);
    }
    t.ok(files.every((text) => text.length > 0));
  });
});
