import { spawnSync } from "node:child_process";
import { chmod, lstat, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { parse, stringify } from "yaml";
import { kubeconfig } from "../../../../client/commands/kubeconfig.ts";
import { parseConfig } from "../../../../client/config/load.ts";
import { parseYaml } from "../../../../client/config/yaml.ts";
import { createMissing } from "../../../../client/pki/cluster/create.ts";
import { mergeKubeconfig } from "../../../../client/kubeconfig/merge.ts";
import { readKubeconfig, writeKubeconfig } from "../../../../client/kubeconfig/write.ts";

const entry = {
  name: "kubernetes",
  user: "kubernetes-admin",
  server: "https://203.0.113.10:6443",
  ca: "Y2E=",
  certificate: "Y2VydA==",
  key: "a2V5",
};
const options = { file: "config", use: false };
const merged = (text: string, change: Partial<typeof entry> = {}, use = false): string =>
  mergeKubeconfig(text, { ...entry, ...change }, { ...options, use });

const others = `# mine
apiVersion: v1
kind: Config
preferences: {}
clusters:
- cluster: {server: "https://192.0.2.1:6443"} # the old one
  name: other
contexts:
- context:
    cluster: other
    namespace: work
    user: admin
  name: other
current-context: other
users:
- name: admin
  user: {token: abc}
`;

t.test("a missing kubeconfig is created with the cluster as the current context", (t) => {
  t.same(parse(merged("")), {
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name: "kubernetes", cluster: { "certificate-authority-data": "Y2E=", server: entry.server } }],
    users: [{ name: "kubernetes-admin", user: { "client-certificate-data": "Y2VydA==", "client-key-data": "a2V5" } }],
    contexts: [{ name: "kubernetes", context: { cluster: "kubernetes", user: "kubernetes-admin" } }],
    "current-context": "kubernetes",
  });
  t.end();
});

t.test("other entries, comments and the current context of the file are kept", (t) => {
  const text = merged(others);
  t.match(text, /^# mine\n/);
  t.match(text, "# the old one");
  const [before, after] = [parse(others), parse(text)];
  t.same(after.clusters[0], before.clusters[0]);
  t.same(after.contexts[0], before.contexts[0]);
  t.same(after.users[0], before.users[0]);
  t.equal(after["current-context"], "other");
  t.same([after.clusters.length, after.contexts.length, after.users.length], [2, 2, 2]);
  t.equal(parse(merged(others, {}, true))["current-context"], "kubernetes", "the current context changes on request");
  t.end();
});

t.test("a second run replaces the cluster's entries instead of adding new entries", (t) => {
  const once = merged(others);
  t.equal(merged(once), once, "merging the same cluster again changes nothing");
  const renewed = parse(merged(once, { certificate: "bmV3" }));
  t.equal(renewed.users.length, 2);
  t.equal(renewed.users[1].user["client-certificate-data"], "bmV3");
  t.end();
});

t.test("the user's own settings in the cluster's entries are kept", (t) => {
  const mine = parse(merged(""));
  mine.contexts[0].context.namespace = "work";
  Object.assign(mine.clusters[0].cluster, { "proxy-url": "http://proxy:3128", "tls-server-name": "kubernetes" });
  const renewed = { ca: "bmV3", certificate: "bmV3" };
  const after = parse(merged(stringify(mine), renewed));
  mine.clusters[0].cluster["certificate-authority-data"] = "bmV3";
  mine.users[0].user["client-certificate-data"] = "bmV3";
  t.strictSame(after, mine);
  mine.clusters[0].cluster["insecure-skip-tls-verify"] = true;
  t.strictSame(parse(merged(stringify(mine), renewed)), after, "insecure-skip-tls-verify is removed");
  t.end();
});

t.test("empty lists in a kubeconfig written by kubectl are filled", (t) => {
  const text = "apiVersion: v1\nkind: Config\nclusters: null\ncontexts: []\nusers:\ncurrent-context: ''\n";
  t.same(parse(merged(text)), parse(merged("")));
  t.end();
});

for (const [title, text] of [
  ["another cluster with the same name", merged("", { server: "https://198.51.100.1:6443" })],
  ["another context with the same name", others.replace("  name: other\ncurrent", "  name: kubernetes\ncurrent")],
  ["another user with the same name", others.replace("- name: admin", "- name: kubernetes-admin")],
] as const) {
  t.test(`${title} is refused and never overwritten`, (t) => {
    t.throws(() => merged(text), {
      code: "CONFIG_INVALID",
      message: /^config already has a different .* named kubernetes/,
    });
    t.end();
  });
}

t.test("a file that is not a kubeconfig is refused", (t) => {
  for (const text of ["a: [", "kind: Secret\n", "x", "- a\n"]) {
    t.throws(() => merged(text), { code: "CONFIG_INVALID", message: "config is not a kubeconfig" }, text);
  }
  t.end();
});

t.test(
  "a temporary file of a killed client is removed, but a temporary file of a running client is kept",
  async (t) => {
    const folder = t.testdir({ config: "one" });
    const ended = spawnSync("true").pid;
    const beside = [`config.khw-${ended}`, "config.khw-1", "config.khw-old", "config.bak"];
    for (const name of beside) await writeFile(join(folder, name), "half");
    await writeKubeconfig(join(folder, "config"), "two");
    t.same((await readdir(folder)).sort(), ["config", "config.bak", "config.khw-1", "config.khw-old"]);
  },
);

t.test("the file is readable only by its owner and replaced atomically, and a symlink is kept", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "khw-kubeconfig-"));
  t.teardown(() => rm(folder, { recursive: true }));
  const path = join(folder, "made", "config");
  t.equal(await readKubeconfig(path), "");
  await writeKubeconfig(path, "one");
  t.equal((await stat(path)).mode & 0o777, 0o600);

  await writeFile(join(folder, "open"), "two", { mode: 0o644 });
  await symlink(join(folder, "open"), join(folder, "link"));
  await writeKubeconfig(join(folder, "link"), "three");
  t.equal(await readFile(join(folder, "open"), "utf8"), "three");
  t.equal((await stat(join(folder, "open"))).mode & 0o777, 0o600);
  t.same((await readdir(folder)).sort(), ["link", "made", "open"], "no temporary file is left");

  await symlink(join("later", "config"), join(folder, "second"));
  await symlink("second", join(folder, "first"));
  await writeKubeconfig(join(folder, "first"), "four");
  t.equal(await readFile(join(folder, "later", "config"), "utf8"), "four", "the target of a link is created");
  t.ok((await lstat(join(folder, "first"))).isSymbolicLink() && (await lstat(join(folder, "second"))).isSymbolicLink());
  await t.rejects(writeKubeconfig(folder, "x"), { code: "IO_FAILED" });
  await t.rejects(readKubeconfig(folder), { code: "IO_FAILED" });
});

t.test("a file is made readable only by its owner, even if its content is unchanged", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "khw-kubeconfig-"));
  t.teardown(() => rm(folder, { recursive: true }));
  const files = await createMissing(
    new Map(),
    {
      clusterName: "kubernetes",
      cluster: { controllers: [], publicAddress: "203.0.113.10", serviceCidr: "10.32.0.0/24" },
      algorithm: "ecdsa",
      days: 1,
      caDays: 2,
      extraNames: [],
      workers: [],
      encryptionProvider: "aescbc",
      separateSigningCa: false,
      separateEtcdCa: false,
      aggregation: false,
    },
    new Date(),
  );
  await writeFile(join(folder, "admin.kubeconfig"), files["admin.kubeconfig"] ?? "", { mode: 0o600 });
  const yaml = parseYaml("cluster: {publicAddress: 203.0.113.10}\n", { name: "khw.yaml", folder });
  const config = parseConfig(yaml, { flags: new Map([["--credentials", folder]]), folder });
  const file = join(folder, "config");
  let told = "";
  const write = (text: string): void => void (told += text);
  const context = { write, warn: write, terminal: false, env: {}, signal: new AbortController().signal };
  const options = { file, context: undefined, use: false };
  t.equal(await kubeconfig(config, context, options), 0);
  await chmod(file, 0o644);
  t.equal(await kubeconfig(config, context, options), 0);
  t.match(told, /unchanged\n$/);
  t.equal((await stat(file)).mode & 0o777, 0o600);
});

t.test("khw, like kubectl, accepts a kubeconfig without kind and apiVersion", (t) => {
  const texts = [
    "",
    "# mine\n",
    "{}\n",
    "null\n",
    'clusters: []\nusers: []\ncontexts: []\ncurrent-context: ""\n',
    "kind: Config\n",
  ];
  for (const text of texts) {
    const written = merged(text);
    t.match(
      parse(written),
      { apiVersion: "v1", kind: "Config", "current-context": "kubernetes" },
      JSON.stringify(text),
    );
    t.equal(parse(written).clusters[0].cluster.server, entry.server);
    t.equal(merged(written), written, "a second merge changes nothing");
  }
  t.match(merged("# mine\n"), /^# mine$/m);
  t.end();
});

t.test("a file that kubectl cannot read is refused with the reason", (t) => {
  const item = "{name: a, cluster: {server: https://a}}";
  const cases: readonly [text: string, message: RegExp][] = [
    ["kind: Secret\n", /its kind is "Secret", not Config/],
    ["apiVersion: v2\n", /its apiVersion is "v2", not v1/],
    ["- a\n", /it is not a map/],
    ["just words\n", /it is not a map/],
    ["a: [\n", /config is not a kubeconfig: /],
    [`clusters: [${item}, ${item}]\n`, /has "a" twice in clusters/],
    ["users: [{name: u}, {name: v}, {name: u}]\n", /has "u" twice in users/],
    ["contexts: [{name: c}, {name: c}]\n", /has "c" twice in contexts/],
  ];
  for (const [text, message] of cases) {
    t.throws(() => merged(text), { code: "CONFIG_INVALID", message, hint: /--kubeconfig/ }, text);
  }
  t.end();
});
