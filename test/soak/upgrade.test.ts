/** A real upgrade of three machines under steady load: refused, stopped by a gate, continued, paused and undone. */
import { execFile } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import t from "tap";
import { components, programs } from "../../proto/components.ts";
import { fingerprint, openScene, type Scene, scenario } from "../fixtures/faults.ts";
import { startLoad, tell } from "../fixtures/serving.ts";
import type { TestbedNode } from "../testbed/index.ts";

const all = ["--nodes", "controller-0,1,2"];
/** A low rate, because a machine with two busy processors runs three API servers and the load itself. */
const rate = 5;
/** A folder on the controllers with the programs labelled v1.21.1. */
const patchMirror = "/srv/mirror";
const architecture = process.arch === "x64" ? "amd64" : "arm64";

/** Copies the programs labelled v1.21.0 to the machines, relabelled as v1.21.1. Both labels have the same length. */
async function publishPatch({ testbed }: Scene): Promise<void> {
  const built = join(testbed.folder, "patch");
  await mkdir(built);
  const script = programs
    .map((program) => `sed 's/v1[.]21[.]0/v1.21.1/g' ${join(testbed.kubernetes, "v1.21.0", program)} >${program}`)
    .join("\n");
  await promisify(execFile)("sh", ["-ec", `${script}\nfor p in *; do sha256sum $p | cut -c1-64 >$p.sha256; done`], {
    cwd: built,
  });
  for (const node of testbed.nodes) {
    const folder = `${patchMirror}/v1.21.1/bin/linux/${architecture}`;
    await node.must(["mkdir", "-p", folder]);
    for (const program of programs) {
      await node.copyIn(join(built, program), `${folder}/${program}`);
      await node.copyIn(join(built, `${program}.sha256`), `${folder}/${program}.sha256`);
    }
  }
}

/** Returns the node's fingerprint without snapshots, because scheduled snapshots are taken meanwhile. */
async function filesOf(node: TestbedNode): Promise<string[]> {
  return (await fingerprint(node)).split("\n").filter((line) => !line.includes("/snapshots"));
}

const processes = async (nodes: readonly TestbedNode[]): Promise<string> => {
  const units = [...components, "etcd", "nginx"];
  const pids = await Promise.all(nodes.map((node) => node.must(["systemctl", "show", "-P", "MainPID", ...units])));
  return pids.join("\n");
};

t.test("three machines, upgraded under load", async (t) => {
  await using scene = await openScene(3, "", { withEtcd: false });
  const { testbed, workstation, bootstrap } = scene;
  const { nodes } = testbed;
  const first = await bootstrap();
  t.equal(first.code, 0, first.stderr);
  await publishPatch(scene);
  const upgrade = (...args: readonly string[]) => workstation.khw(["upgrade", ...all, ...args]);
  const statusOf = async () => {
    const { stdout } = await workstation.khw(["status", "-o", "json", ...all]);
    const status: { upgrade?: { state: string; next: string; releases: { version: string }[] } } = JSON.parse(stdout);
    return { state: status.upgrade?.state, next: status.upgrade?.next };
  };
  const versions = async (): Promise<string> => {
    const answers = await Promise.all(
      nodes.map((node) => node.must(["curl", "-sk", "https://127.0.0.1:6443/version"])),
    );
    return answers.map((text) => /"gitVersion": "(.*?)"/.exec(text)?.[1]).join(" ");
  };

  await scenario(t, "refusals touch nothing", async (t) => {
    const facts = async () => ({
      files: await Promise.all(nodes.map(filesOf)),
      processes: await processes(nodes),
      // Reading the backends' health is also a POST.
      mutations: (await testbed.compute.log()).filter(({ method, path }) => method !== "GET" && !/getHealth/.test(path))
        .length,
    });
    const before = await facts();
    const skipped = await upgrade("--to", "v1.22.0", "--yes");
    t.equal(skipped.code, 69, skipped.stdout + skipped.stderr);
    t.match(skipped.stderr, /Kubernetes v1\.20\.2 cannot be changed to v1\.22\.0 in one step/);
    t.strictSame(await facts(), before);
    const unknown = await upgrade("--to", "v1.21.0", "--yes", "--kube-apiserver-flag", "no-such-flag=1");
    t.equal(unknown.code, 69, unknown.stdout + unknown.stderr);
    t.match(unknown.stderr, /kube-apiserver v1\.21\.0 does not accept --no-such-flag: unknown flag/);
    t.match(unknown.stderr, /kubernetes\.flags\.kube-apiserver\.no-such-flag/);
    const unasked = await upgrade("--to", "v1.21.0");
    t.match(unasked.stderr, /there is no terminal to ask at/);
    t.equal(await processes(nodes), before.processes, "the downloads restarted nothing");
  });

  const load = await startLoad(testbed, { rate });

  await scenario(t, "a gate that fails stops after the first node; the same command continues", async (t) => {
    const stopped = await upgrade("--to", "v1.21.0", "--yes", "--gate", "echo too slow; exit 3");
    t.equal(stopped.code, 3, stopped.stdout + stopped.stderr);
    t.match(stopped.stderr, /the gate ended with 3: too slow/);
    t.equal(await versions(), "v1.21.0 v1.20.2 v1.20.2");
    t.match(await statusOf(), { state: "stopped", next: "controller-1" });
    const finished = await upgrade("--to", "v1.21.0", "--yes", "--gate", 'echo "$KHW_NODE is fine"');
    t.equal(finished.code, 0, finished.stdout + finished.stderr);
    t.comment(finished.stdout);
    t.equal(await versions(), "v1.21.0 v1.21.0 v1.21.0");
    t.match(await statusOf(), { state: undefined });
    const snapshots = await workstation.mustKhw(["etcd", "snapshot", "list", "-o", "json", ...all]);
    t.match(snapshots, /"purpose": "upgrade from v1\.20\.2 to v1\.21\.0"/);
    const back = await upgrade("--back", "--yes");
    t.match(back.stderr, /is finished .* everything written since then would be lost/);
  });

  await scenario(t, "a patch pauses after the first node, and goes back", async (t) => {
    // A folder as the mirror needs no digest, unlike the testbed's mirror, which has no TLS.
    const mirrors = ["--mirror", patchMirror];
    const paused = await upgrade("--to", "v1.21.1", "--yes", "--pause-after", "1", ...mirrors);
    t.equal(paused.code, 0, paused.stdout + paused.stderr);
    t.match(paused.stdout, /paused after controller-0/);
    t.equal(await versions(), "v1.21.1 v1.21.0 v1.21.0");
    const back = await upgrade("--back", "--yes", ...mirrors);
    t.equal(back.code, 0, back.stdout + back.stderr);
    t.equal(await versions(), "v1.21.0 v1.21.0 v1.21.0");
  });

  const report = await load.stop();
  t.comment(tell("new connections", report.fresh));
  t.comment(tell("a kept connection", report.kept));
  t.strictSame([report.fresh.failed, report.kept.failed], [[], []], "no request failed");
  const maps = await workstation.kubectl(["get", "configmaps", "-o", "name"]);
  const created = maps.stdout.split("\n").filter((name) => /\/(fresh|kept)/.test(name)).length;
  t.comment(`${created} objects`);
  t.ok(created >= report.fresh.sent / 2, `${created} objects of ${report.fresh.sent} writes are still there`);
});
