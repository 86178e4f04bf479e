import t from "tap";
import { renderInputsDropIn } from "../../../../agent/render/drop-in.ts";
import { renderKubeApiserver } from "../../../../agent/render/kube-apiserver.ts";
import { renderKubeControllerManager } from "../../../../agent/render/kube-controller-manager.ts";
import { renderKubeScheduler, renderSchedulerConfig } from "../../../../agent/render/kube-scheduler.ts";
import { renderNginxSite } from "../../../../agent/render/nginx.ts";
import { parseDesiredState } from "../../../../proto/desired.ts";
import { controllers, labState, publicAddress } from "../../../fixtures/lab-cluster.ts";
import { labFile } from "../../../lab/lab.ts";

function flagsOf(unit: string): string[] {
  return unit.split("\n").filter((line) => line.startsWith("  --"));
}

t.test("on each controller, the three unit files are byte-for-byte identical to those from the lab", async (t) => {
  for (const { name, internalIp } of controllers) {
    const desired = parseDesiredState(labState({ node: name }));
    const variables = { INTERNAL_IP: internalIp, KUBERNETES_PUBLIC_ADDRESS: publicAddress };
    for (const [unit, text, count] of [
      ["kube-apiserver", renderKubeApiserver(desired), 29],
      ["kube-controller-manager", renderKubeControllerManager(desired), 12],
      ["kube-scheduler", renderKubeScheduler(desired), 2],
    ] as const) {
      const expected = labFile(`/etc/systemd/system/${unit}.service`, variables);
      t.equal(flagsOf(expected).length, count, `the lab gives ${unit} ${count} flags`);
      t.strictSame(flagsOf(text), flagsOf(expected), `${name}: ${unit} has the lab's flags`);
      t.equal(text, expected, `${name}: ${unit}.service is identical to the lab's file`);
    }
  }
});

t.test("kube-scheduler.yaml is identical to the file from the lab", async (t) => {
  const text = renderSchedulerConfig(parseDesiredState(labState()));
  t.equal(text, labFile("/etc/kubernetes/config/kube-scheduler.yaml"));
});

t.test("the nginx site file differs from the lab's file only in the added upstream verification", async (t) => {
  const expected = labFile("kubernetes.default.svc.cluster.local").split("\n");
  const lines = renderNginxSite({ drained: false }).split("\n");
  const added = lines.filter((line) => !expected.includes(line));
  t.strictSame(
    lines.filter((line) => expected.includes(line)),
    expected,
  );
  t.strictSame(
    added.map((line) => line.trim().replace(/ +/, " ")),
    ["proxy_ssl_verify on;", "proxy_ssl_name kubernetes.default.svc;"],
  );
});

t.test("cluster-specific flag values are taken from the desired state", async (t) => {
  const cluster = {
    name: "blue",
    publicAddress: "198.51.100.7",
    controllers: [{ name: "controller-0", internalIp: "10.1.0.4" }],
    leaving: [],
    etcdServers: ["https://10.1.0.4:2379"],
    serviceCidr: "10.96.0.0/16",
    clusterCidr: "10.97.0.0/16",
    nodePortRange: "31000-31999",
  };
  const desired = parseDesiredState(labState({ cluster }));
  const apiserver = flagsOf(renderKubeApiserver(desired)).join("\n");
  t.match(apiserver, "--advertise-address=10.1.0.4 ");
  t.match(apiserver, "--apiserver-count=1 ");
  t.match(apiserver, "--etcd-servers=https://10.1.0.4:2379 ");
  t.match(apiserver, "--service-account-issuer=https://198.51.100.7:6443 ");
  t.match(apiserver, "--service-cluster-ip-range=10.96.0.0/16 ");
  t.match(apiserver, "--service-node-port-range=31000-31999 ");
  const manager = flagsOf(renderKubeControllerManager(desired)).join("\n");
  t.match(manager, "--cluster-cidr=10.97.0.0/16 ");
  t.match(manager, "--cluster-name=blue ");
  t.match(manager, "--service-cluster-ip-range=10.96.0.0/16 ");
});

t.test("flags in khw.yaml replace lab flags in place, are added sorted by name, or are removed", async (t) => {
  const lab = flagsOf(renderKubeApiserver(parseDesiredState(labState()))).map((line) => line.replace(/ \\$/, ""));
  const flags = {
    "kube-apiserver": {
      set: { "feature-gates": "A=true,B=false", "event-ttl": "2h", "anonymous-auth": "true" },
      remove: ["audit-log-maxage", "never-there"],
    },
  };
  const desired = parseDesiredState(labState({ flags }));
  t.strictSame(
    flagsOf(renderKubeApiserver(desired)).map((line) => line.replace(/ \\$/, "")),
    [
      ...lab
        .filter((line) => line !== "  --audit-log-maxage=30")
        .map((line) => (line === "  --event-ttl=1h" ? "  --event-ttl=2h" : line)),
      "  --anonymous-auth=true",
      "  --feature-gates='A=true,B=false'",
    ],
  );
  t.equal(
    renderKubeScheduler(desired),
    renderKubeScheduler(parseDesiredState(labState())),
    "other components are unchanged",
  );
});

t.test("the unit of a component without any flags is rendered correctly", async (t) => {
  const flags = { "kube-scheduler": { set: {}, remove: ["config", "v"] } };
  t.match(
    renderKubeScheduler(parseDesiredState(labState({ flags }))),
    "\nExecStart=/usr/local/bin/kube-scheduler\nRestart=",
  );
});

t.test(
  "later releases get a scheduler config version that they support, and no flags that they have removed",
  async (t) => {
    const apiVersions = Object.fromEntries(
      Array.from({ length: 18 }, (_, index) => {
        const desired = parseDesiredState(labState({ kubernetesVersion: `v1.${20 + index}.3` }));
        const version = /^apiVersion: kubescheduler\.config\.k8s\.io\/(\w+)$/m.exec(
          renderSchedulerConfig(desired),
        )?.[1];
        const counted = renderKubeApiserver(desired).includes("--apiserver-count=");
        return [20 + index, `${version}${counted ? " counted" : ""}`];
      }),
    );
    t.strictSame(apiVersions, {
      20: "v1beta1 counted",
      21: "v1beta1 counted",
      22: "v1beta1 counted",
      23: "v1beta3 counted",
      24: "v1beta3",
      ...Object.fromEntries(Array.from({ length: 13 }, (_, index) => [25 + index, "v1"])),
    });
  },
);

t.test("a flag that khw omits for newer releases can still be set in khw.yaml", async (t) => {
  const flags = { "kube-apiserver": { set: { "apiserver-count": "5" }, remove: [] } };
  const desired = parseDesiredState(labState({ kubernetesVersion: "v1.30.0", flags }));
  t.match(renderKubeApiserver(desired), "\n  --v=2 \\\n  --apiserver-count=5\nRestart=");
});

t.test("the inputs drop-in contains the digest of the inputs", async (t) => {
  t.equal(renderInputsDropIn("ab12"), "[Service]\nType=exec\nTimeoutStopSec=15\nEnvironment=KHW_INPUTS=sha256:ab12\n");
});

t.test("the inputs drop-in records the digests of the files that the service reads at each start", async (t) => {
  const record = { files: ["/etc/a.service", "/var/lib/b.pem"], folder: "khw/a", file: "started-from" };
  t.equal(
    renderInputsDropIn("ab12", { record }).split("\n").slice(4).join("\n"),
    `RuntimeDirectory=khw/a
RuntimeDirectoryMode=0700
ExecStartPre=-+/bin/sh -c "exec sha256sum /etc/a.service /var/lib/b.pem >/run/khw/a/started-from 2>/dev/null"
`,
  );
});
