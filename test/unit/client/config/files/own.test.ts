import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { withoutContent, toDesired } from "../../../../../client/config/desired.ts";
import { loadConfig } from "../../../../../client/config/load.ts";
import { labReleases } from "../../../../../client/config/releases.ts";
import { parseDesiredState } from "../../../../../proto/desired.ts";
import { controllers, labState, publicAddress } from "../../../../fixtures/lab-cluster.ts";
import { digest } from "../../../../fixtures/machine.ts";

const folder = await mkdtemp(join(tmpdir(), "khw-files-"));
t.teardown(() => rm(folder, { recursive: true }));

async function stateOf(text: string, flags: Readonly<Record<string, Readonly<Record<string, string>>>> = {}) {
  await writeFile(join(folder, "khw.yaml"), text);
  const config = await loadConfig({ flags: new Map(Object.entries(flags)), folder, env: { HOME: folder } });
  const { credentials } = parseDesiredState(labState());
  const states = await toDesired(config, { controllers, publicAddress, releases: labReleases }, credentials);
  const state = states.get("controller-1");
  if (state === undefined) throw new Error("controller-1 has no state");
  return state;
}

t.test("files are read relative to khw.yaml, and sent with their digests", async (t) => {
  await writeFile(join(folder, "policy"), "rules");
  await writeFile(join(folder, "limits"), "more");
  const state = await stateOf("files: {b.yaml: policy}", { "--kubernetes-file": { "a.yaml": "limits" } });
  t.strictSame(state.files, [
    { name: "a.yaml", sha256: digest("more"), content: Buffer.from("more") },
    { name: "b.yaml", sha256: digest("rules"), content: Buffer.from("rules") },
  ]);
  t.strictSame(withoutContent(state).files[1], { name: "b.yaml", sha256: digest("rules"), content: undefined });
  t.strictSame((await stateOf("")).files, []);
});

t.test(
  "a missing file, a folder, a large file and an invalid name are refused with the name of the setting",
  async (t) => {
    await t.rejects(stateOf("files: {a.yaml: missing.yaml}"), {
      code: "CONFIG_INVALID",
      message: /^files\.a\.yaml: \/.*\/missing\.yaml cannot be read: ENOENT/,
      hint: /correct files\.a\.yaml in khw\.yaml/,
    });
    await t.rejects(stateOf("files: {a.yaml: .}"), { code: "CONFIG_INVALID", message: /cannot be read: EISDIR/ });
    await writeFile(join(folder, "large"), "x".repeat(300_000));
    await t.rejects(stateOf("files: {a.yaml: large}"), { message: /^files\.a\.yaml: the file has 300000 bytes/ });
    await t.rejects(stateOf("files: {../a: large}"), {
      code: "CONFIG_INVALID",
      message: /^khw\.yaml:1:9: files\.\.\.\/a: "\.\.\/a" cannot be the name of a file/,
    });
  },
);

t.test("an audit policy becomes a file and a flag, unless khw.yaml sets the flag", async (t) => {
  const flagOf = (state: Awaited<ReturnType<typeof stateOf>>) =>
    state.flags["kube-apiserver"]?.set["audit-policy-file"];
  const builtIn = await stateOf("audit: {policy: metadata}");
  t.match(builtIn.files, [{ name: "audit-policy.yaml" }]);
  t.equal(flagOf(builtIn), "/etc/kubernetes/config/audit-policy.yaml");
  await writeFile(join(folder, "audit"), "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Metadata}]\n");
  const own = await stateOf("audit: {policy: audit}");
  t.match(String(own.files[0]?.content), /level: Metadata/);
  const other = await stateOf(
    "audit: {policy: metadata}\nkubernetes: {flags: {kube-apiserver: {audit-policy-file: /srv/a}}}",
  );
  t.strictSame(other.files, []);
  t.equal(flagOf(other), "/srv/a");
  t.strictSame((await stateOf("audit: {policy: none}")).files, []);
});

t.test("an invalid or missing audit policy is refused, and the error states its location", async (t) => {
  await t.rejects(stateOf("audit: {policy: absent.yaml}"), {
    code: "CONFIG_INVALID",
    message: /^audit\.policy: \/.*\/absent\.yaml cannot be read: ENOENT/,
  });
  await writeFile(join(folder, "audit"), "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: All}]\n");
  await t.rejects(stateOf("audit: {policy: audit}"), {
    code: "CONFIG_INVALID",
    message: /^\/.*\/audit:3:17: rules\[0\]\.level: "All" is not one of/,
  });
  await t.rejects(stateOf("files: {audit-policy.yaml: audit}"), {
    message: /the setting audit\.policy writes this file/,
  });
});

t.test(
  "an admission configuration is sent with the files that it names, and the plugins in it are turned on",
  async (t) => {
    const flags = (state: Awaited<ReturnType<typeof stateOf>>) => state.flags["kube-apiserver"]?.set;
    const builtIn = await stateOf("hardening: {eventLimits: true}");
    t.match(builtIn.files, [{ name: "admission.yaml" }]);
    t.equal(flags(builtIn)?.["admission-control-config-file"], "/etc/kubernetes/config/admission.yaml");
    t.match(flags(builtIn)?.["enable-admission-plugins"], /ResourceQuota,EventRateLimit$/);
    const head = "apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\n";
    await writeFile(join(folder, "own"), `${head}plugins: [{name: EventRateLimit, path: limits.yaml}]\n`);
    await t.rejects(stateOf("admission: {config: own}"), {
      message: /^admission\.config: EventRateLimit: .*cannot be read/,
    });
    const api = "apiVersion: eventratelimit.admission.k8s.io/v1alpha1\nkind: Configuration\n";
    await writeFile(join(folder, "limits.yaml"), `${api}limits: [{type: Server, qps: 1, burst: x}]\n`);
    await t.rejects(stateOf("admission: {config: own}"), { message: /limits\.yaml:3:40: limits\[0\]\.burst: "x"/ });
    await writeFile(join(folder, "limits.yaml"), `${api}limits: [{type: Server, qps: 1, burst: 1}]\n`);
    t.match((await stateOf("admission: {config: own}")).files, [{ name: "admission.yaml" }, { name: "limits.yaml" }]);
    await t.rejects(stateOf("files: {limits.yaml: own}\nadmission: {config: own}"), {
      message: /two settings write the file .*limits\.yaml/,
    });
  },
);
