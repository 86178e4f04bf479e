/** Runs the checks of the CIS benchmark on a machine with the lab's files, and applies the fixes that the report shows. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import t from "tap";
import { parse, stringify } from "yaml";

import { openScene, type Scene, scenario } from "../fixtures/faults.ts";
import type { Workstation } from "../testbed/workstation.ts";

const all = ["--nodes", "controller-0"];
const release = "--kubernetes-version=v1.21.0";
/** The installed programs are from 1.20.2, which lacks the admission plugin for this setting. */
const production = "profile: production\nhardening: {denyExternalIps: false}\n";

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

/**
 * Returns the agent's facts in the form of test/fixtures/cis/lab.json. The results in docs/cis.md are based on that
 * file.
 */
async function record({ testbed, workstation, node }: Scene): Promise<string> {
  const program = fileURLToPath(new URL("../fixtures/cis/record.ts", import.meta.url));
  const identity = join(workstation.folder, "khw-pki");
  const { stdout, stderr } = await testbed.run([process.execPath, program, identity, node(0).address]);
  return stdout === "" ? stderr : stdout;
}

type Settings = Record<string, unknown>;

function isSettings(value: unknown): value is Settings {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Merges the settings of one line into the settings of khw.yaml, key by key. */
function merge(settings: Settings, line: Settings): Settings {
  const merged = Object.entries(line).map(([key, value]) => {
    const known = settings[key];
    return [key, isSettings(known) && isSettings(value) ? merge(known, value) : value] as const;
  });
  return { ...settings, ...Object.fromEntries(merged) };
}

/** Parses YAML without types, because khw reads scalars exactly as they are written. */
function parseSettings(text: string): Settings {
  const parsed: unknown = parse(text, { schema: "failsafe" });
  if (!isSettings(parsed)) throw new Error(`no settings: ${text}`);
  return parsed;
}

t.test("the CIS report describes the machine correctly, and its fixes work", async (t) => {
  await using scene = await openScene(1, "supervision:\n  drift: report\n", { withEtcd: false });
  const { workstation, bootstrap, node } = scene;
  const first = await bootstrap(release);
  t.equal(first.code, 0, first.stderr);
  const before = await examine(workstation);

  await scenario(t, "the report shows which checks the lab's settings fail", async (t) => {
    const recording = process.env["KHW_CIS_RECORD"];
    if (recording !== undefined) await writeFile(recording, await record(scene));
    for (const line of (await workstation.khw(["doctor", "--cis", "-v", ...all])).stdout.split("\n")) t.comment(line);
    t.equal(before.code, 1);
    t.strictSame(
      before.checks.filter(({ result }) => result === "not run"),
      [],
    );
    t.strictSame(failing(before.checks), [
      "1.2.9",
      "1.2.18",
      "1.2.20",
      "1.2.23",
      "1.2.34",
      "1.3.2",
      "1.3.7",
      "1.4.1",
      "3.2.1",
    ]);
  });

  const file = join(workstation.folder, "khw.yaml");
  const lab = await readFile(file, "utf8");
  await scenario(t, "the khw.yaml lines in the report fix the failed checks", async (t) => {
    // The line for AlwaysPullImages would replace the plugins that the other lines set.
    const lines = before.checks.flatMap(({ id, fix = "" }) =>
      fix.startsWith("khw.yaml: ") && id !== "1.2.11" ? [fix.slice(10)] : [],
    );
    t.comment(lines.join("\n"));
    t.equal(lines.length, 10);
    await writeFile(file, stringify(lines.map(parseSettings).reduce(merge, parseSettings(lab))));
    const { code, stdout, stderr } = await bootstrap(release);
    t.equal(code, 0, stdout + stderr);
    const after = await examine(workstation);
    t.strictSame(failing(after.checks), []);
    t.equal(after.code, 0);
    const left = after.checks.filter(({ result }) => result === "fail").map(({ id }) => id);
    t.strictSame(left, ["1.1.12", "1.2.1", "1.2.11", "1.2.12", "1.2.15", "2.7"]);
  });

  await scenario(t, "with the production profile, the report gives a reason for each failed check", async (t) => {
    await writeFile(file, lab + production);
    await workstation.mustKhw(["pki", "create", ...all]);
    const { code, stdout, stderr } = await bootstrap(release);
    t.equal(code, 0, stdout + stderr);
    const report = await examine(workstation);
    t.strictSame(failing(report.checks), []);
    for (const { id, result, evidence, reason } of report.checks) {
      if (result === "fail") t.comment(`${id}: ${evidence}: ${reason}`);
    }
    t.equal(report.code, 0);
  });

  await scenario(t, "the report shows the actual values of wrong modes and owners", async (t) => {
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
    const { code, stdout, stderr } = await bootstrap(release);
    t.equal(code, 0, stdout + stderr);
    const after = (await examine(workstation)).checks.filter(({ id }) => wrong.has(id));
    t.match(after, [{ result: "pass" }, { result: "pass" }, { result: "pass" }]);
  });

  await scenario(t, "a viewer may run the checks", async (t) => {
    await workstation.mustKhw(["pki", "issue", "auditor", "--role", "viewer"]);
    const identity = ["--management-certificate=khw-pki/auditor.pem", "--management-key=khw-pki/auditor-key.pem"];
    const { code, stdout, stderr } = await workstation.khw(["doctor", "--cis", ...all, ...identity]);
    t.equal(code, 0, stderr);
    t.match(stdout, /CIS Kubernetes Benchmark 1\.20/);
  });
});
