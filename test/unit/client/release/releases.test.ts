import t from "tap";
import { loadConfig } from "../../../../client/config/load.ts";
import { describeReleases, releaseObstacles, releasesIn, wantedReleases } from "../../../../client/release/releases.ts";
import { GetStatusResponse } from "../../../../proto/gen/khw/agent/v1/agent.ts";

const configured = (flags: Readonly<Record<string, string>>) =>
  loadConfig({ flags: new Map(Object.entries(flags)), folder: "/", env: {} });

/** Returns the releases of nodes that run these versions; etcd reports its version without a v. */
function running(...nodes: readonly (readonly [kubernetes: string, etcd: string])[]) {
  return releasesIn(
    nodes.map(([kubernetes, etcd], index) => ({
      node: `controller-${index}`,
      status: GetStatusResponse.fromPartial({
        components: [
          { name: "etcd", version: etcd },
          { name: "kube-apiserver", version: kubernetes },
          { name: "kube-scheduler", version: kubernetes },
          { name: "nginx", version: "1.22.1" },
        ],
      }),
    })),
  );
}

t.test("without a setting the running release stays; a new cluster gets the lab's", async (t) => {
  const config = await configured({});
  const nodes = running(["v1.20.2", "3.4.23"], ["v1.20.2", "3.4.23"]);
  t.strictSame(wantedReleases(config, nodes), { kubernetes: "v1.20.2", etcd: "v3.4.23" });
  t.equal(
    describeReleases(config, nodes, wantedReleases(config, nodes)),
    "Kubernetes v1.20.2 (as it runs), etcd v3.4.23 (as it runs)",
  );
  const none = running(["", ""]);
  t.strictSame(wantedReleases(config, none), { kubernetes: "v1.21.0", etcd: "v3.4.15" });
  t.match(describeReleases(config, none, wantedReleases(config, none)), /v1\.21\.0 \(the default of a new cluster\)/);
});

t.test("without a setting an unfinished update goes on", async (t) => {
  const config = await configured({});
  const nodes = running(["v1.21.0", "3.4.23"], ["v1.20.2", "3.4.23"]);
  const wanted = wantedReleases(config, nodes);
  t.equal(wanted.kubernetes, "v1.21.0");
  t.strictSame(releaseObstacles(config, nodes, { wanted, allowDowngrade: false }), []);
});

t.test("a configured release that is older than the running one is refused", async (t) => {
  const config = await configured({ "--kubernetes-version": "v1.21.0", "--etcd-version": "v3.4.15" });
  const nodes = running(["v1.22.0", "3.5.16"]);
  const wanted = wantedReleases(config, nodes);
  const found = releaseObstacles(config, nodes, { wanted, allowDowngrade: false });
  t.match(
    found.map(({ message }) => message),
    [/Kubernetes v1\.22\.0 cannot become v1\.21\.0/, /etcd v3\.5\.16 cannot become v3\.4\.15/],
  );
});

t.test("an external etcd is not khw's to change", async (t) => {
  const config = await configured({ "--etcd": "external", "--etcd-version": "v3.4.15" });
  const nodes = running(["v1.21.0", "3.5.16"]);
  const wanted = wantedReleases(config, nodes);
  t.strictSame(releaseObstacles(config, nodes, { wanted, allowDowngrade: false }), []);
  t.notMatch(describeReleases(config, nodes, wanted), /etcd/);
});
