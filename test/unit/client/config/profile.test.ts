import t from "tap";
import { componentCommand, render } from "../../../../agent/render/components.ts";
import { etcdCommand, renderEtcd } from "../../../../agent/render/etcd.ts";
import { renderSchedulerConfig } from "../../../../agent/render/kube-scheduler.ts";
import { defaultYaml } from "../../../../client/config/print.ts";
import { toDesired } from "../../../../client/config/desired.ts";
import { parseConfig } from "../../../../client/config/load.ts";
import { labReleases } from "../../../../client/config/releases.ts";
import { parseYaml } from "../../../../client/config/yaml.ts";
import type { Component } from "../../../../proto/components.ts";
import { parseDesiredState } from "../../../../proto/desired.ts";
import { hardeningKeys } from "../../../../proto/profiles.ts";
import { controllers, labState, publicAddress } from "../../../fixtures/lab-cluster.ts";

const { credentials } = parseDesiredState(labState());

function load(text: string, flags: Readonly<Record<string, string>> = {}) {
  const written = parseYaml(text, { name: "khw.yaml", folder: "/" });
  return parseConfig(written, { flags: new Map(Object.entries(flags)), folder: "/" });
}

async function wireOf(text: string, version = "v1.21.0") {
  const config = load(`loadBalancer: none\naggregation: false\n${text}`);
  const releases = { ...labReleases, kubernetes: version };
  const state = (await toDesired(config, { controllers, publicAddress, releases }, credentials)).get("controller-0");
  if (state === undefined) throw new Error("controller-0 has no state");
  return state;
}

const desiredOf = async (text: string, version?: string) => parseDesiredState(await wireOf(text, version));

/** Returns the flags that differ from the lab's flags, without the leading dashes. */
async function added(component: Component, text: string, version?: string): Promise<string[]> {
  const [lab, other] = await Promise.all([desiredOf("", version), desiredOf(text, version)]);
  const before = componentCommand(component, lab);
  return componentCommand(component, other)
    .filter((flag) => !before.includes(flag))
    .map((flag) => flag.slice(2));
}

t.test("the lab profile does not change the desired state by a single byte", async (t) => {
  t.strictSame(await wireOf("profile: lab"), await wireOf(""));
  t.equal((await wireOf("")).hardening, undefined);
  const off = hardeningKeys.map((key) => `  ${key}: false\n`).join("");
  t.strictSame(await wireOf(`profile: production\naudit: {policy: none}\nhardening:\n${off}`), await wireOf(""));
  t.strictSame(load(defaultYaml()), load(""));
});

t.test("the production profile turns on every hardening setting, in khw.yaml and on the command line", async (t) => {
  t.ok(hardeningKeys.every((key) => load("profile: production").hardening[key]));
  t.ok(hardeningKeys.every((key) => load("", { "--profile": "production" }).hardening[key]));
  t.ok(hardeningKeys.every((key) => load(defaultYaml(), { "--profile": "production" }).hardening[key]));
  t.equal(load("profile: production").aggregation, true);
  t.throws(() => load("profile: secure"), {
    message: /^khw\.yaml:1:10: profile: "secure" is not one of lab, production/,
  });
});

t.test("the production profile adds the expected flags on Kubernetes 1.21", async (t) => {
  const tls = [
    "tls-cipher-suites=TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "tls-min-version=VersionTLS12",
  ];
  const text = "profile: production";
  t.strictSame((await added("kube-controller-manager", text)).toSorted(), [
    "bind-address=127.0.0.1",
    "port=0",
    "profiling=false",
    ...tls,
  ]);
  t.strictSame((await added("kube-scheduler", text)).toSorted(), ["bind-address=127.0.0.1", "profiling=false", ...tls]);
  const desired = await desiredOf(text);
  const command = componentCommand("kube-apiserver", desired).join(" ");
  t.notMatch(command, "--runtime-config");
  t.match(command, "--audit-log-maxbackup=10 ");
  t.match(command, "ResourceQuota,DenyServiceExternalIPs,EventRateLimit ");
  t.match(renderSchedulerConfig(desired), 'enableProfiling: false\nhealthzBindAddress: "127.0.0.1:10251"\n');
  t.match(renderEtcd(desired), /--data-dir=\/var\/lib\/etcd \\\n {2}--cipher-suites=TLS_ECDHE_/);
  t.match(etcdCommand(desired).at(-1), /^--cipher-suites=/);
});

t.test("flags and fields that a release does not support are omitted", async (t) => {
  const text = "profile: production";
  t.notOk((await added("kube-controller-manager", text, "v1.24.0")).includes("port=0"));
  t.notMatch(renderSchedulerConfig(await desiredOf(text, "v1.23.0")), "BindAddress");
  t.notMatch(componentCommand("kube-apiserver", await desiredOf(text, "v1.20.2")).join(" "), "DenyServiceExternalIPs");
});

t.test("each hardening setting can be turned on alone, and a flag in khw.yaml takes precedence", async (t) => {
  // The limit on anonymous requests is set in RBAC, so the desired state does not contain it.
  for (const key of hardeningKeys.filter((key) => key !== "anonymousLimited")) {
    const desired = await wireOf(`hardening: {${key}: true}`);
    t.notSame(desired, await wireOf(""), key);
  }
  const text = "profile: production\nkubernetes: {flags: {kube-scheduler: {profiling: true, bind-address: null}}}\n";
  t.match(render["kube-scheduler"](await desiredOf(text)), "--profiling=true ");
  t.notMatch(render["kube-scheduler"](await desiredOf(text)), "bind-address");
});

t.test(
  "an admission plugin list that contradicts another setting is refused, and the error names the plugin and the setting",
  async (t) => {
    const flags = (list: string | null, rest = ""): string =>
      `kubernetes: {flags: {kube-apiserver: {enable-admission-plugins: ${list === null ? "null" : `"${list}"`}}}}\n${rest}`;
    const event = "hardening: {eventLimits: true}";
    const refused = async (text: string, message: RegExp, hint: RegExp): Promise<void> => {
      await t.rejects(wireOf(text), { code: "CONFIG_INVALID", message, hint });
    };
    const dropped = /enable-admission-plugins switches off EventRateLimit, which hardening\.eventLimits switches on/;
    await refused(flags("NodeRestriction", event), dropped, /add EventRateLimit to your list/);
    await refused(flags(null, event), dropped, /change hardening\.eventLimits/);
    const both = "hardening: {eventLimits: true, denyExternalIps: true}";
    await refused(
      flags("NodeRestriction", both),
      /DenyServiceExternalIPs, which hardening\.denyExternalIps.*\n.*EventRateLimit/,
      /add DenyServiceExternalIPs,EventRateLimit/,
    );
    const off = `kubernetes: {flags: {kube-apiserver: {disable-admission-plugins: EventRateLimit}}}\n${event}`;
    await refused(off, /disable-admission-plugins switches off EventRateLimit/, /remove EventRateLimit/);
    t.strictSame(await added("kube-apiserver", flags("NodeRestriction,EventRateLimit", event)), [
      "enable-admission-plugins=NodeRestriction,EventRateLimit",
      "admission-control-config-file=/etc/kubernetes/config/admission.yaml",
    ]);
    t.strictSame(await added("kube-apiserver", flags("NodeRestriction")), ["enable-admission-plugins=NodeRestriction"]);
  },
);
