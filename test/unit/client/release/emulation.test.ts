import t from "tap";
import { loadConfig } from "../../../../client/config/load.ts";
import {
  type Emulation,
  emulationObstacles,
  enablesAlphaApis,
  wantedEmulation,
} from "../../../../client/release/emulation.ts";
import { pathObstacles } from "../../../../client/release/path.ts";
import { describeReleases, releaseObstacles, releasesIn, wantedReleases } from "../../../../client/release/releases.ts";
import { GetStatusResponse } from "../../../../proto/gen/khw/agent/v1/agent.ts";

/** The release of a node and the release that it emulates, if any: "v1.32.1" or "v1.32.1 as 1.31". */
type Node = string;

function nodesOf(...nodes: readonly Node[]) {
  return nodes.map((text, index) => {
    const [version = "", emulates] = text.split(" as ");
    return { node: `controller-${index}`, version, ...(emulates !== undefined && { emulates }) };
  });
}

const noAlpha = { "runtime-config": null };
type Flags = Readonly<Record<string, Readonly<Record<string, string | null>>>>;

async function obstacles(nodes: readonly Node[], version: string, options: { emulation?: Emulation; flags?: Flags }) {
  const { emulation = "begin", flags = { "kube-apiserver": noAlpha } } = options;
  const plain = await loadConfig({ flags: new Map(), folder: "/", env: {} });
  const config = { ...plain, kubernetes: { ...plain.kubernetes, flags: { ...plain.kubernetes.flags, ...flags } } };
  const running = nodesOf(...nodes);
  const wanted = { kubernetes: version, etcd: "v3.5.30", emulated: wantedEmulation(running, version, emulation) };
  return emulationObstacles(config, { running, wanted, emulation });
}

t.test("a new emulation always emulates the previous minor release", (t) => {
  t.equal(wantedEmulation(nodesOf("v1.31.4"), "v1.32.1", "begin"), "1.31");
  t.equal(wantedEmulation(nodesOf("v1.32.1 as 1.31"), "v1.32.1", "end"), undefined);
  t.end();
});

t.test("bootstrap keeps an active emulation and never restarts an emulation that has been ended", (t) => {
  const kept = (wanted: string, ...nodes: readonly Node[]) => wantedEmulation(nodesOf(...nodes), wanted, "keep");
  t.equal(kept("v1.32.1", "v1.32.1 as 1.31", "v1.32.1 as 1.31"), "1.31");
  t.equal(kept("v1.32.2", "v1.32.1 as 1.31"), "1.31", "a patch update keeps the emulation");
  t.equal(kept("v1.32.1", "v1.32.1 as 1.31", "v1.31.4"), "1.31", "an unfinished update keeps the emulation");
  t.equal(
    kept("v1.32.1", "v1.32.1", "v1.32.1 as 1.31"),
    undefined,
    "an emulation that some nodes have ended is not kept",
  );
  t.equal(
    kept("v1.32.1", "v1.32.1 as 1.31", "v1.32.1"),
    undefined,
    "an emulation that the last node has ended is not kept",
  );
  t.equal(kept("v1.32.1", "v1.31.4"), undefined, "an update without emulation starts no emulation");
  t.equal(kept("v1.31.4", "v1.32.1 as 1.31", "v1.31.4"), undefined, "going back to the old release needs no emulation");
  t.equal(kept("v1.32.1"), undefined, "a new cluster starts without emulation");
  t.end();
});

t.test("an emulation can begin only before the new release has written any data", async (t) => {
  t.strictSame(await obstacles(["v1.31.4", "v1.31.4"], "v1.32.1", {}), []);
  t.strictSame(
    await obstacles(["v1.32.1 as 1.31", "v1.31.4"], "v1.32.1", {}),
    [],
    "repeating the command continues the update",
  );
  t.match(await obstacles(["v1.32.1", "v1.31.4"], "v1.32.1", {}), [
    { code: "RELEASE_REFUSED", message: "controller-0 already runs Kubernetes 1.32 without emulation" },
  ]);
  t.match(await obstacles(["v1.30.4"], "v1.31.4", {}), [
    { message: "Kubernetes v1.31.4 cannot emulate another release", hint: /--emulated-version/ },
  ]);
});

t.test("alpha APIs and features rule out an emulation, and the lab's default setting enables alpha APIs", async (t) => {
  const one = async (flags: Flags, emulation: Emulation = "begin") =>
    (await obstacles(["v1.31.4"], "v1.32.1", { flags, emulation })).map(({ message, hint }) => `${message}; ${hint}`);
  const [lab = "", ...more] = await one({});
  t.match(lab, /kubernetes\.flags\.kube-apiserver\.runtime-config is api\/all=true \(the lab's default\)/);
  t.match(lab, /set kubernetes\.flags\.kube-apiserver\.runtime-config to null in khw\.yaml/);
  t.strictSame(more, []);
  t.match(await one({ "kube-apiserver": { "runtime-config": "a.io/v1alpha1=true" } }), [
    / is a\.io\/v1alpha1=true \(in khw/,
  ]);
  t.match(await one({ "kube-apiserver": noAlpha, "kube-scheduler": { "feature-gates": "A=true,AllAlpha=true" } }), [
    /kubernetes\.flags\.kube-scheduler\.feature-gates enables all/,
  ]);
  t.match(await one({ "kube-apiserver": { ...noAlpha, "emulated-version": "1.31" } }), [
    /^kubernetes\.flags\.kube-apiserver\.emulated-version is set, but khw sets this flag itself/,
  ]);
  t.strictSame(await one({}, "end"), [], "alpha features are allowed without emulation");
  const kept = await obstacles(["v1.32.1 as 1.31"], "v1.32.1", { emulation: "keep", flags: {} });
  t.match(kept, [{ message: /excludes alpha APIs/ }], "a later bootstrap must not enable alpha APIs");
});

t.test("khw interprets the value of --runtime-config in the same way as the API server", (t) => {
  const values: readonly (readonly [string, boolean])[] = [
    ["", false],
    ["api/all=true", true],
    ["api/all", true],
    ["api/all=false", false],
    ["api/all=true,api/all=false", false],
    ["api/all=true,api/alpha=false", false],
    ["api/alpha=true", true],
    ["api/beta=true", false],
    ["batch/v2alpha1=true", true],
    ["batch/v2alpha1", true],
    ["batch/v2alpha1=false, apps/v1=true", false],
    ["resource.k8s.io/v1alpha3/devicetaintrules=true", true],
    ["resource.k8s.io/v1beta1=true", false],
  ];
  for (const [value, alpha] of values) t.equal(enablesAlphaApis(value), alpha, value);
  t.end();
});

t.test("an update to the next minor release is refused until the emulation is ended", async (t) => {
  t.match(await obstacles(["v1.32.1 as 1.31"], "v1.33.0", { emulation: "end" }), [
    {
      message: "Kubernetes v1.32.1 emulates 1.31, so it cannot be updated to v1.33.0",
      hint: "end the emulation first: khw-client upgrade --to v1.32.1",
    },
  ]);
  t.strictSame(await obstacles(["v1.32.1 as 1.31"], "v1.32.2", { emulation: "end" }), []);
});

t.test(
  "going back to the emulated minor release requires consent, and every program must still emulate that release",
  (t) => {
    const found = (wanted: string, allowEmulated: boolean, ...nodes: readonly Node[]) =>
      pathObstacles(nodesOf(...nodes), { program: "Kubernetes", wanted, allowDowngrade: true, allowEmulated }).map(
        ({ message }) => message,
      );
    const refused = [/a lower minor release is not supported/];
    t.strictSame(found("v1.31.4", true, "v1.32.1 as 1.31", "v1.32.1 as 1.31"), []);
    t.match(found("v1.31.4", false, "v1.32.1 as 1.31"), refused);
    t.match(found("v1.31.4", true, "v1.32.1 as 1.31", "v1.32.1"), refused);
    t.match(found("v1.30.4", true, "v1.32.1 as 1.31"), refused);
    t.end();
  },
);

t.test("the emulated release is read from the agents and shown in bootstrap's note", async (t) => {
  const config = await loadConfig({ flags: new Map(), folder: "/", env: {} });
  const status = GetStatusResponse.fromPartial({
    components: [
      { name: "kube-apiserver", version: "v1.32.1", emulatedVersion: "1.31" },
      { name: "kube-scheduler", version: "v1.32.1", emulatedVersion: "1.31" },
      { name: "etcd", version: "3.5.30" },
    ],
  });
  const running = releasesIn([{ node: "controller-0", status }]);
  const wanted = wantedReleases(config, running);
  t.strictSame(wanted, { kubernetes: "v1.32.1", etcd: "v3.5.30", emulated: "1.31" });
  t.match(
    describeReleases(config, running, wanted),
    /^Kubernetes v1\.32\.1 \(currently running\), emulating 1\.31, etcd/,
  );
  t.match(releaseObstacles(config, running, { wanted, allowDowngrade: false }), [{ message: /excludes alpha APIs/ }]);
  t.strictSame(wantedReleases(config, running, "end"), { kubernetes: "v1.32.1", etcd: "v3.5.30" });
});
