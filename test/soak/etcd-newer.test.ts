/** Takes, verifies and restores a snapshot of three members of etcd 3.5. */
import t from "tap";
import { openScene, scenario } from "../fixtures/faults.ts";
import { publishEtcd } from "../fixtures/published-etcd.ts";

const all = ["--nodes", "controller-0,1,2"];

t.test("a cluster with etcd 3.5 is restored from its snapshot", async (t) => {
  await using scene = await openScene(3, "", { withEtcd: false });
  const { testbed, workstation, bootstrap } = scene;
  const release = await publishEtcd(testbed, { suite: "sid", version: "v3.5.30" });
  const first = await bootstrap(...release);
  t.equal(first.code, 0, first.stdout + first.stderr);
  const write = async (name: string): Promise<void> => {
    const { code, stderr } = await workstation.kubectl(["create", "configmap", name, "--from-literal=a=b"]);
    t.equal(code, 0, stderr);
  };
  const stored = async (): Promise<string> =>
    (await workstation.kubectl(["get", "configmaps", "--output=name"])).stdout;

  let id = "";
  await scenario(t, "a snapshot of three members is verified", async (t) => {
    await write("before");
    const saved = await workstation.khw(["etcd", "snapshot", "save", ...all]);
    t.equal(saved.code, 0, saved.stdout + saved.stderr);
    // The agents also take snapshots by themselves, so the newest snapshot may be a later one.
    [id = ""] = /\d{8}T\d{6}Z-controller-\d/.exec(saved.stdout) ?? [];
    const verified = await workstation.khw(["etcd", "snapshot", "verify", ...all]);
    t.equal(verified.code, 0, verified.stdout + verified.stderr);
  });

  await scenario(t, "the snapshot is restored on all three machines", async (t) => {
    await write("after");
    const restored = await workstation.khw(["etcd", "restore", id, "--yes", ...all]);
    t.equal(restored.code, 0, restored.stdout + restored.stderr);
    const names = await stored();
    t.match(names, "configmap/before");
    t.notMatch(names, "configmap/after");
    const status = await workstation.khw(["etcd", "status", ...all]);
    t.equal(status.code, 0, status.stdout + status.stderr);
  });
});
