/** Changes the release of three machines with `bootstrap`, and undoes the change with `upgrade --back`. */
import t from "tap";
import { openScene, scenario } from "../fixtures/faults.ts";
import { given } from "../fixtures/given.ts";
import { folderMirror, publishRelabelled } from "../fixtures/relabelled.ts";

const all = ["--nodes", "controller-0,1,2"];
const [running, next] = ["v1.21.0", "v1.21.1"];

t.test("bootstrap changes the release as upgrade does", async (t) => {
  await using scene = await openScene(3, "", { withEtcd: false });
  const { testbed, workstation, bootstrap } = scene;
  const first = await bootstrap("--kubernetes-version", running);
  t.equal(first.code, 0, first.stderr);
  t.notMatch(first.stdout, /snapshot .* before the change/, "a new cluster needs no snapshot");
  await publishRelabelled(testbed, next);
  await given("status reports a healthy cluster", async () =>
    (await workstation.khw(["status", ...all])).code === 0 ? true : undefined,
  );
  const change = ["--kubernetes-version", next, "--mirror", folderMirror];
  const releases = async (): Promise<string[]> => {
    const { stdout } = await workstation.khw(["status", ...all]);
    return [...stdout.matchAll(/kube-apiserver +active +(v\S+)/g)].map(([, version = ""]) => version);
  };

  await scenario(t, "plan shows the path and the expected time", async (t) => {
    const { code, stdout } = await workstation.khw(["plan", ...change, ...all]);
    t.equal(code, 2);
    t.match(stdout, /upgrade from v1\.21\.0 to v1\.21\.1: controller-0, then controller-1, controller-2/);
    t.match(stdout, /expected time: 2 min 0 s/);
    t.match(stdout, /checked: health/);
  });

  await scenario(t, "bootstrap takes a snapshot, and checks the first node before it drains the second", async (t) => {
    const { code, stdout, stderr } = await bootstrap(...change);
    t.equal(code, 0, stderr);
    const [snapshot, checks, second] = [
      stdout.search(/snapshot \S+ on \S+: taken and verified before the change/),
      stdout.search(/controller-0: its API server answers without errors/),
      stdout.search(/controller-1: .*drain/),
    ];
    t.ok(snapshot !== -1 && snapshot < checks && checks < second, stdout);
    t.strictSame(await releases(), [next, next, next]);
    const events = await workstation.khw(["events", ...all]);
    t.match(events.stdout, /upgrade from v1\.21\.0 to v1\.21\.1/i);
    t.notMatch((await workstation.khw(["status", ...all])).stdout, /Upgrade from/, "the upgrade has ended");
  });

  await scenario(t, "upgrade --back returns to the previous release", async (t) => {
    const { code, stdout, stderr } = await workstation.khw(["upgrade", "--back", "--yes", ...all]);
    t.equal(code, 0, stdout + stderr);
    t.strictSame(await releases(), [running, running, running]);
  });
});
