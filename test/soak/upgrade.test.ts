/**
 * Tests real upgrades of three machines under steady load. Upgrades are refused, stopped by a gate, continued, paused
 * and rolled back. Both Kubernetes and etcd are also upgraded from one minor release to the next.
 */
import t from "tap";
import { openScene, scenario } from "../fixtures/faults.ts";
import { publishEtcd } from "../fixtures/published-etcd.ts";
import { folderMirror, publishRelabelled } from "../fixtures/relabelled.ts";
import { missingObjects, startLoad, tell } from "../fixtures/serving.ts";
import { readFacts, processesOf } from "../fixtures/untouched.ts";

const all = ["--nodes", "controller-0,1,2"];
/**
 * The number of new connections per second. In addition, each of 5 keep-alive connections carries one request per
 * second.
 */
const rate = 20;
t.test("three machines are upgraded under load", async (t) => {
  await using scene = await openScene(3, "", { withEtcd: false });
  const { testbed, workstation, bootstrap } = scene;
  const { nodes } = testbed;
  const first = await bootstrap();
  t.equal(first.code, 0, first.stderr);
  for (const version of ["v1.21.1", "v1.22.0"]) await publishRelabelled(testbed, version);
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

  await scenario(t, "a refused upgrade changes nothing", async (t) => {
    const before = await readFacts(testbed);
    const skipped = await upgrade("--to", "v1.22.0", "--yes");
    t.equal(skipped.code, 69, skipped.stdout + skipped.stderr);
    t.match(skipped.stderr, /Kubernetes v1\.20\.2 cannot be changed to v1\.22\.0 in one step/);
    t.strictSame(await readFacts(testbed), before);
    const unknown = await upgrade("--to", "v1.21.0", "--yes", "--kube-apiserver-flag", "no-such-flag=1");
    t.equal(unknown.code, 69, unknown.stdout + unknown.stderr);
    t.match(unknown.stderr, /kube-apiserver v1\.21\.0 does not accept --no-such-flag: unknown flag/);
    t.match(unknown.stderr, /kubernetes\.flags\.kube-apiserver\.no-such-flag/);
    const unasked = await upgrade("--to", "v1.21.0");
    t.match(unasked.stderr, /there is no terminal to prompt on/);
    t.equal(await processesOf(nodes), before.processes, "the downloads restarted no process");
  });

  const load = await startLoad(testbed, { rate });

  await scenario(
    t,
    "a failed gate stops the upgrade after the first node, and a second run completes the upgrade",
    async (t) => {
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
      t.match(back.stderr, /is finished, .* everything written since then would be lost/);
    },
  );

  // khw requires no digests if the mirror is a local folder. It requires them for the testbed's mirror, which has no
  // TLS.
  const mirrors = ["--mirror", folderMirror];

  await scenario(t, "a patch upgrade pauses after the first node and can be reverted", async (t) => {
    const paused = await upgrade("--to", "v1.21.1", "--yes", "--pause-after", "1", ...mirrors);
    t.equal(paused.code, 0, paused.stdout + paused.stderr);
    t.match(paused.stdout, /paused after controller-0/);
    t.equal(await versions(), "v1.21.1 v1.21.0 v1.21.0");
    const back = await upgrade("--back", "--yes", ...mirrors);
    t.equal(back.code, 0, back.stdout + back.stderr);
    t.equal(await versions(), "v1.21.0 v1.21.0 v1.21.0");
  });

  await scenario(t, "the cluster is upgraded to a patch release and then to the next minor release", async (t) => {
    for (const version of ["v1.21.1", "v1.22.0"]) {
      const { code, stdout, stderr } = await upgrade("--to", version, "--yes", ...mirrors);
      t.equal(code, 0, stdout + stderr);
      t.comment(stdout);
      t.equal(await versions(), `${version} ${version} ${version}`);
    }
  });

  await scenario(t, "etcd is upgraded to the next minor release and then to a patch of that release", async (t) => {
    // khw.yaml still specifies the first Kubernetes release.
    const running = ["--kubernetes-version", "v1.22.0", ...mirrors];
    const etcds = async (): Promise<string> => {
      const answers = await Promise.all(nodes.map((node) => node.must(["etcd", "--version"])));
      return answers.map((text) => /etcd Version: (.*)/.exec(text)?.[1]).join(" ");
    };
    for (const release of [
      { suite: "trixie", version: "v3.5.16" },
      { suite: "sid", version: "v3.5.30" },
    ]) {
      const { version } = release;
      const { code, stdout, stderr } = await bootstrap(...running, ...(await publishEtcd(testbed, release)));
      t.equal(code, 0, stdout + stderr);
      t.comment(stdout);
      const number = version.slice(1);
      t.equal(await etcds(), `${number} ${number} ${number}`);
    }
  });

  const report = await load.stop();
  t.comment(tell("new connections", report.fresh));
  t.comment(tell("5 keep-alive connections", report.kept));
  t.strictSame([report.fresh.failed, report.kept.failed], [[], []], "no request failed");
  const created = report.fresh.created.length + report.kept.created.length;
  t.strictSame(await missingObjects(workstation, report), [], `all ${created} objects are still there`);
});
