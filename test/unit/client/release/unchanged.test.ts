import t from "tap";
import { loadConfig } from "../../../../client/config/load.ts";
import { changedReleaseObstacles } from "../../../../client/release/unchanged.ts";

/** Returns the obstacles for a command that applies v1.21.1 and etcd v3.5.30. */
async function found(
  kubernetes: readonly string[],
  etcdVersions: readonly string[],
  managed = true,
): Promise<string[]> {
  const on = (versions: readonly string[]) =>
    versions.map((version, index) => ({ node: `controller-${index}`, version }));
  const releases = { kubernetes: "v1.21.1", etcd: "v3.5.30" };
  const running = { kubernetes: on(kubernetes), etcd: on(etcdVersions) };
  const config = await loadConfig({ flags: new Map(), folder: "/", env: {} });
  const etcd = { ...config.etcd, mode: managed ? ("managed" as const) : ("external" as const) };
  return changedReleaseObstacles({ ...config, etcd }, { running, releases }).map(({ message }) => message);
}

t.test("a command with another purpose does not change a release", async (t) => {
  t.strictSame(await found(["v1.21.0", "v1.21.0"], ["v3.5.30"]), [
    "this command would also change Kubernetes from v1.21.0 to v1.21.1",
  ]);
  t.strictSame(await found(["v1.21.1"], ["v3.4.23"]), ["this command would also change etcd from v3.4.23 to v3.5.30"]);
});

t.test("the command may run without a change, during an unfinished update, and without a control plane", async (t) => {
  t.strictSame(await found(["v1.21.1"], ["v3.5.30"]), []);
  t.strictSame(await found(["v1.21.0", "v1.21.1"], ["v3.4.23", "v3.5.30"]), []);
  t.strictSame(await found([], []), []);
  t.strictSame(await found(["v1.21.1"], ["v3.4.23"], false), [], "an etcd that khw does not manage");
});
