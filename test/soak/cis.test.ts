/** Runs the checks of the CIS benchmark on a machine with the lab's files, and applies the fixes that the report shows. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import t from "tap";
import { parse } from "yaml";

import { openScene, type Scene, scenario } from "../fixtures/faults.ts";
import type { Workstation } from "../testbed/workstation.ts";

const all = ["--nodes", "controller-0"];

interface Check {
  readonly id: string;
  readonly title: string;
  readonly result: string;
  readonly evidence: string;
  readonly reason?: string;
  readonly fix?: string;
}

async function examine(workstation: Workstation): Promise<{ code: number; checks: readonly Check[] }> {
  const { code, stdout, stderr } = await workstation.khw(["doctor", "--cis", "-o", "json", ...all]);
  if (stderr !== "") throw new Error(stderr);
  const { checks }: { checks: readonly Check[] } = JSON.parse(stdout);
  return { code, checks };
}

function failing(checks: readonly Check[]): string[] {
  return checks.filter(({ result, reason }) => result === "fail" && reason === undefined).map(({ id }) => id);
}

/** Returns the agent's facts for test/fixtures/cis/lab.json, which has the results of docs/cis.md. */
async function record({ testbed, workstation, node }: Scene): Promise<string> {
  const program = fileURLToPath(new URL("../fixtures/cis/record.ts", import.meta.url));
  const identity = join(workstation.folder, "khw-pki");
  const { stdout, stderr } = await testbed.run([process.execPath, program, identity, node(0).address]);
  return stdout === "" ? stderr : stdout;
}

/** Returns the arguments for the same settings as in the line of khw.yaml that a fix shows. */
function flagsOf(fix: string): string[] {
  const { kubernetes }: { kubernetes: { flags: Record<string, Record<string, string | null>> } } = parse(
    fix.replace(/^khw\.yaml: /, ""),
    { schema: "failsafe" },
  );
  return Object.entries(kubernetes.flags).flatMap(([program, flags]) =>
    Object.entries(flags).flatMap(([flag, value]) => [`--${program}-flag`, `${flag}=${value}`]),
  );
}

t.test("a machine with the lab's files", async (t) => {
  await using scene = await openScene(1, "supervision:\n  drift: report\n", { withEtcd: false });
  const { workstation, bootstrap, node } = scene;
  const first = await bootstrap("--kubernetes-version=v1.21.0");
  t.equal(first.code, 0, first.stderr);
  const before = await examine(workstation);

  await scenario(t, "the report shows which of the lab's choices fail", async (t) => {
    const file = process.env["KHW_CIS_RECORD"];
    if (file !== undefined) await writeFile(file, await record(scene));
    for (const line of (await workstation.khw(["doctor", "--cis", "-v", ...all])).stdout.split("\n")) t.comment(line);
    t.equal(before.code, 1);
    t.strictSame(
      before.checks.filter(({ result }) => result === "not run"),
      [],
    );
    t.strictSame(failing(before.checks), [
      "1.2.9",
      "1.2.11",
      "1.2.18",
      "1.2.20",
      "1.2.23",
      "1.2.34",
      "1.3.1",
      "1.3.2",
      "1.3.7",
      "1.4.1",
      "3.2.1",
    ]);
  });

  await scenario(t, "the lines of khw.yaml in the report fix the checks", async (t) => {
    const fixes = before.checks.flatMap(({ fix }) => (fix?.includes("kubernetes: {flags:") ? [fix] : []));
    t.ok(fixes.length >= 7, `${fixes.length} fixes`);
    const { code, stdout, stderr } = await bootstrap("--kubernetes-version=v1.21.0", ...fixes.flatMap(flagsOf));
    t.equal(code, 0, stdout + stderr);
    const after = failing((await examine(workstation)).checks);
    t.comment(`still failing: ${after.join(", ")}`);
    t.strictSame(after, ["1.2.9", "1.4.1", "3.2.1"]);
  });

  await scenario(t, "wrong modes and owners are reported as the machine shows them", async (t) => {
    await node(0).must(["chmod", "640", "/var/lib/kubernetes/ca-key.pem"]);
    await node(0).must(["chown", "daemon:daemon", "/etc/etcd/ca.pem"]);
    await node(0).must(["chmod", "750", "/var/lib/etcd"]);
    const wrong = new Set(["1.1.11", "1.1.19", "1.1.21"]);
    const seen = (await examine(workstation)).checks.filter(({ id }) => wrong.has(id));
    t.match(seen, [
      { result: "fail", evidence: "/var/lib/etcd: mode 750", fix: "khw-client bootstrap" },
      { result: "fail", evidence: "/etc/etcd/ca.pem: daemon:daemon", fix: "khw-client bootstrap" },
      { result: "fail", evidence: "/var/lib/kubernetes/ca-key.pem: mode 640", fix: "khw-client bootstrap" },
    ]);
    const { code, stdout, stderr } = await bootstrap("--kubernetes-version=v1.21.0");
    t.equal(code, 0, stdout + stderr);
    const after = (await examine(workstation)).checks.filter(({ id }) => wrong.has(id));
    t.match(after, [{ result: "pass" }, { result: "pass" }, { result: "pass" }]);
  });

  await scenario(t, "a viewer may run the checks", async (t) => {
    await workstation.mustKhw(["pki", "issue", "auditor", "--role", "viewer"]);
    const identity = ["--management-certificate=khw-pki/auditor.pem", "--management-key=khw-pki/auditor-key.pem"];
    const { code, stdout, stderr } = await workstation.khw(["doctor", "--cis", ...all, ...identity]);
    t.equal(code, 1, stderr);
    t.match(stdout, /CIS Kubernetes Benchmark 1\.20/);
  });
});
