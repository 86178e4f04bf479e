import t from "tap";
import { DesiredState } from "../../../../proto/gen/khw/agent/v1/agent.ts";
import { changedReleaseObstacles } from "../../../../client/release/unchanged.ts";

/** Returns the obstacles for a command that applies v1.21.1 and etcd v3.5.30. */
function found(kubernetes: readonly string[], etcd: readonly string[], managed = true): string[] {
  const on = (versions: readonly string[]) =>
    versions.map((version, index) => ({ node: `controller-${index}`, version }));
  const releases = { kubernetes: "v1.21.1", etcd: "v3.5.30" };
  const running = { kubernetes: on(kubernetes), etcd: on(etcd) };
  const desired = DesiredState.fromPartial(managed ? { etcd: { version: "v3.5.30" } } : {});
  return changedReleaseObstacles({ running, releases, work: [{ desired }] }).map(({ message }) => message);
}

t.test("a command with another purpose does not change a release", (t) => {
  t.strictSame(found(["v1.21.0", "v1.21.0"], ["v3.5.30"]), [
    "this command would also change Kubernetes from v1.21.0 to v1.21.1",
  ]);
  t.strictSame(found(["v1.21.1"], ["v3.4.23"]), ["this command would also change etcd from v3.4.23 to v3.5.30"]);
  t.end();
});

t.test("the command may run without a change, during an unfinished update, and without a control plane", (t) => {
  t.strictSame(found(["v1.21.1"], ["v3.5.30"]), []);
  t.strictSame(found(["v1.21.0", "v1.21.1"], ["v3.4.23", "v3.5.30"]), []);
  t.strictSame(found([], []), []);
  t.strictSame(found(["v1.21.1"], ["v3.4.23"], false), [], "an etcd that khw does not manage");
  t.end();
});
