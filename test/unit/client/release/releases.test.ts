import t from "tap";
import { loadConfig } from "../../../../client/config/load.ts";
import {
  describeReleases,
  readReleases,
  releaseObstacles,
  releasesIn,
  wantedReleases,
} from "../../../../client/release/releases.ts";
import { KhwError } from "../../../../proto/errors.ts";
import { GetStatusResponse } from "../../../../proto/gen/khw/agent/v1/agent.ts";
import { createFakeCluster } from "../../../fakes/cluster.ts";
import { never } from "../../../fixtures/machine.ts";

const configured = (flags: Readonly<Record<string, string>>) =>
  loadConfig({ flags: new Map(Object.entries(flags)), folder: "/", env: {} });

/** Returns the releases of nodes that run these versions. etcd reports its version without a "v". */
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

t.test(
  "without a configured release, the running release is kept, and a new cluster gets the lab's release",
  async (t) => {
    const config = await configured({});
    const nodes = running(["v1.20.2", "3.4.23"], ["v1.20.2", "3.4.23"]);
    t.strictSame(wantedReleases(config, nodes), { kubernetes: "v1.20.2", etcd: "v3.4.23" });
    t.equal(
      describeReleases(config, nodes, wantedReleases(config, nodes)),
      "Kubernetes v1.20.2 (currently running), etcd v3.4.23 (currently running)",
    );
    const none = running(["", ""]);
    t.strictSame(wantedReleases(config, none), { kubernetes: "v1.21.0", etcd: "v3.4.15" });
    t.match(
      describeReleases(config, none, wantedReleases(config, none)),
      /v1\.21\.0 \(the default for a new cluster\)/,
    );
  },
);

t.test("without a configured release, an unfinished update is continued", async (t) => {
  const config = await configured({});
  const nodes = running(["v1.21.0", "3.4.23"], ["v1.20.2", "3.4.23"]);
  const wanted = wantedReleases(config, nodes);
  t.equal(wanted.kubernetes, "v1.21.0");
  t.strictSame(releaseObstacles(config, nodes, { wanted, allowDowngrade: false }), []);
});

t.test("a configured release that is older than the running release is refused", async (t) => {
  const config = await configured({ "--kubernetes-version": "v1.21.0", "--etcd-version": "v3.4.15" });
  const nodes = running(["v1.22.0", "3.5.16"]);
  const wanted = wantedReleases(config, nodes);
  const found = releaseObstacles(config, nodes, { wanted, allowDowngrade: false });
  t.match(
    found.map(({ message }) => message),
    [/Kubernetes v1\.22\.0 cannot be changed to v1\.21\.0/, /etcd v3\.5\.16 cannot be changed to v3\.4\.15/],
  );
});

t.test(
  "an older minor release is allowed if its data is also restored, but an older etcd release is never allowed",
  async (t) => {
    const config = await configured({ "--kubernetes-version": "v1.20.2", "--etcd-version": "v3.4.15" });
    const nodes = running(["v1.21.0", "3.5.16"]);
    const wanted = wantedReleases(config, nodes);
    const found = releaseObstacles(config, nodes, { wanted, allowDowngrade: true, restoresData: true });
    t.match(
      found.map(({ message }) => message),
      [/etcd v3\.5\.16 cannot be changed to v3\.4\.15/],
    );
  },
);

t.test("the release of an external etcd is neither checked nor changed", async (t) => {
  const config = await configured({ "--etcd": "external", "--etcd-version": "v3.4.15" });
  const nodes = running(["v1.21.0", "3.5.16"]);
  const wanted = wantedReleases(config, nodes);
  t.strictSame(releaseObstacles(config, nodes, { wanted, allowDowngrade: false }), []);
  t.notMatch(describeReleases(config, nodes, wanted), /etcd/);
});

t.test("if the release of an installed program is unknown, the default for new clusters is not applied", async (t) => {
  const foreign = GetStatusResponse.fromPartial({
    components: [
      { name: "kube-apiserver", version: "", activeState: "active" },
      { name: "etcd", version: "", activeState: "failed" },
    ],
  });
  const nodes = releasesIn([{ node: "controller-0", status: foreign }]);
  const obstaclesOf = async (flags: Readonly<Record<string, string>>): Promise<string[]> => {
    const config = await configured(flags);
    const options = { wanted: wantedReleases(config, nodes), allowDowngrade: false };
    return releaseObstacles(config, nodes, options).map(({ message, hint }) => `${message} (${hint})`);
  };
  t.strictSame(await obstaclesOf({}), [
    "the release of Kubernetes on controller-0 is not known (set kubernetes.version to the release that you want)",
    "the release of etcd on controller-0 is not known (set etcd.version to the release that you want)",
  ]);
  t.strictSame(await obstaclesOf({ "--kubernetes-version": "v1.21.0", "--etcd-version": "v3.4.15" }), []);
  t.strictSame(await obstaclesOf({ "--kubernetes-version": "v1.21.0", "--etcd": "external" }), []);
});

t.test("a machine without programs counts as a new controller", async (t) => {
  const bare = GetStatusResponse.fromPartial({ components: [{ name: "kube-apiserver", activeState: "not-found" }] });
  const config = await configured({});
  const nodes = releasesIn([{ node: "controller-0", status: bare }]);
  const wanted = wantedReleases(config, nodes);
  t.strictSame(releaseObstacles(config, nodes, { wanted, allowDowngrade: false }), []);
});

t.test(
  "a reachable node that does not return its status is an obstacle, and an unreachable node is not queried",
  async (t) => {
    const config = await configured({});
    const { members } = await createFakeCluster(["controller-0", "controller-1"]);
    const [silent, away] = members;
    if (silent === undefined || away === undefined) throw new Error("the cluster has two nodes");
    const status = async (): Promise<never> => {
      throw new KhwError("TIMEOUT", "no answer within 30 s");
    };
    const { running: nodes } = await readReleases(
      [
        { ...silent, node: { ...silent.node, status } },
        { node: { ...away.node, status }, error: new KhwError("UNREACHABLE", "no connection") },
      ],
      never,
    );
    const found = releaseObstacles(config, nodes, { wanted: wantedReleases(config, nodes), allowDowngrade: false });
    t.match(found, [{ node: "controller-0", message: "its release is not known: no answer within 30 s" }]);
    t.equal(found.length, 1);
  },
);

t.test("no new release is started while a node cannot be reached, because its release is not known", async (t) => {
  const config = await configured({ "--kubernetes-version": "v1.22.0", "--etcd-version": "v3.4.23" });
  const unreached = [new KhwError("UNREACHABLE", "no connection", { node: "controller-2" })];
  const obstaclesOf = (...versions: readonly string[]): KhwError[] => {
    const nodes = { ...running(...versions.map((version) => [version, "3.4.23"] as const)), unreached };
    return releaseObstacles(config, nodes, { wanted: wantedReleases(config, nodes), allowDowngrade: false });
  };
  t.match(obstaclesOf("v1.21.0", "v1.21.0"), [
    { code: "RELEASE_UNKNOWN", node: "controller-2", hint: /khw-client remove controller-2 --dead/ },
  ]);
  t.strictSame(obstaclesOf("v1.22.0", "v1.22.0"), []);
  t.strictSame(obstaclesOf("v1.22.0", "v1.21.0"), [], "an unfinished update can be finished");
  t.strictSame(obstaclesOf(), [], "a new cluster");
});

t.test("a Kubernetes release that needs a newer etcd is refused, unless it is already running", async (t) => {
  const config = await configured({});
  const messages = (kubernetes: string, etcd: string, ...nodes: readonly (readonly [string, string])[]): string[] =>
    releaseObstacles(config, running(...nodes), { wanted: { kubernetes, etcd }, allowDowngrade: false }).map(
      ({ message }) => message,
    );
  const refusal = /^Kubernetes v1\.31\.0 needs etcd v3\.5\.11 or later, not v3\.5\.10/;
  t.match(messages("v1.31.0", "v3.5.10", ["v1.30.0", "3.5.10"]), [refusal]);
  t.match(messages("v1.31.0", "v3.5.10"), [refusal], "a new cluster");
  t.strictSame(messages("v1.31.0", "v3.5.11", ["v1.30.0", "3.5.11"]), []);
  t.strictSame(messages("v1.31.1", "v3.5.10", ["v1.31.0", "3.5.10"]), []);
  t.match(messages("v1.31.0", "v3.5.11", ["v1.30.0", "3.5.10"]), [refusal], "the update of etcd comes first");
  t.strictSame(messages("v1.30.0", "v3.4.23", ["v1.29.0", "3.4.23"]), []);
});
