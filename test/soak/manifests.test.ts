/**
 * Applies a folder of Kubernetes objects to a real controller. Covers creation, changes, conflicts, pruning, drift and
 * interruptions.
 */
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

import t from "tap";

import { failsWith, fingerprint, openScene, scenario } from "../fixtures/faults.ts";
import { given } from "../fixtures/given.ts";

const namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: team-a}\n";
const password = "not-to-be-shown";

function configMap(name: string, data: string, inNamespace = "team-a"): string {
  return `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ${name}, namespace: ${inNamespace}}\ndata: ${data}\n`;
}

const definition = `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {kind: Widget, plural: widgets}
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          properties: {spec: {type: object, properties: {size: {type: integer}}}}
`;
const widget = `apiVersion: example.com/v1
kind: Widget
metadata: {name: first, namespace: team-a}
spec: {size: 1}
`;
const labelled = "khw.dev/manifests";

t.test("a folder of objects", async (t) => {
  await using scene = await openScene(1, "manifests: objects\n", { withEtcd: false });
  const { workstation, bootstrap, node } = scene;
  const folder = join(workstation.folder, "objects");
  await mkdir(folder);
  const put = async (name: string, text: string): Promise<void> => writeFile(join(folder, name), text);
  const kubectl = async (...args: readonly string[]) => workstation.kubectl(args);
  const value = async (kind: string, name: string, path: string): Promise<string> =>
    (await kubectl("get", kind, name, "-n", "team-a", "-o", `jsonpath=${path}`)).stdout;
  const exists = async (...args: readonly string[]): Promise<boolean> => (await kubectl("get", ...args)).code === 0;
  const plan = async () => workstation.khw(["plan", "--nodes", "controller-0"]);
  const diff = async () => workstation.khw(["diff", "--nodes", "controller-0"]);
  const done = async (...args: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await bootstrap(...args);
    t.equal(code, 0, `bootstrap ${args.join(" ")}: ${stdout}${stderr}`);
    return stdout;
  };

  await scenario(t, "a folder with invalid objects is refused before any change", async (t) => {
    const before = await fingerprint(node(0));
    await put("10-bad.yaml", `${namespace}---\nkind: ConfigMap\nmetadata: {generateName: x}\n`);
    const refused = await bootstrap();
    failsWith(t, refused, "CONFIG_INVALID", [
      /10-bad.yaml:5:\d+: apiVersion: is missing/,
      /10-bad.yaml:6:\d+: metadata.generateName/,
    ]);
    t.equal(await fingerprint(node(0)), before);
    await rm(join(folder, "10-bad.yaml"));
  });

  await put("00-namespace.yaml", namespace);
  await put("10-definition.yaml", definition);
  await put("20-objects.yaml", `${configMap("settings", "{colour: red, size: '1'}")}---\n${widget}`);
  await put(
    "30-secret.json",
    JSON.stringify({
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name: "login", namespace: "team-a" },
      stringData: { password },
    }),
  );
  await put(
    "40-system.yaml",
    "apiVersion: v1\nkind: Namespace\nmetadata: {name: kube-public, labels: {tier: public}}\n",
  );

  await scenario(t, "the first bootstrap applies the folder", async (t) => {
    const planned = await plan();
    t.equal(planned.code, 2, planned.stdout + planned.stderr);
    t.match(planned.stdout, /manifests: 6 objects would be applied; they were not compared/);
    const said = await done();
    for (const object of [
      "Namespace team-a",
      "CustomResourceDefinition widgets.example.com",
      "ConfigMap team-a/settings",
      "Widget team-a/first",
      "Secret team-a/login",
    ])
      t.match(said, `manifests: ${object} created`);
    t.match(said, "manifests: Namespace kube-public changed");
    t.equal(await value("configmap", "settings", "{.data.colour}"), "red");
    t.equal(await value("widget", "first", "{.spec.size}"), "1");
    t.equal(await value("secret", "login", "{.data.password}"), Buffer.from(password).toString("base64"));
    t.equal(await value("configmap", "settings", "{.metadata.labels}"), `{"${labelled}":"created"}`);
    t.match(await value("namespace", "kube-public", "{.metadata.labels}"), `"${labelled}":"adopted"`);
  });

  await scenario(t, "a second bootstrap, plan and diff find no difference", async (t) => {
    const begun = performance.now();
    const said = await done();
    t.comment(`no-op bootstrap with 6 objects: ${((performance.now() - begun) / 1000).toFixed(1)} s`);
    t.notMatch(said, /manifests:/);
    const withoutBegun = performance.now();
    await rmSetting(workstation.folder, async () => done());
    t.comment(`no-op bootstrap without the setting: ${((performance.now() - withoutBegun) / 1000).toFixed(1)} s`);
    t.match(await plan(), { code: 0, stdout: /nothing to do/ });
    t.match(await diff(), { code: 0, stdout: "" });
  });

  await scenario(t, "plan and diff show a change, and bootstrap makes it", async (t) => {
    await put(
      "20-objects.yaml",
      `${configMap("settings", "{colour: blue}")}---\n${widget.replace("1}", "2}")}---\n${configMap("extra", "{a: b}")}`,
    );
    await put(
      "30-secret.json",
      JSON.stringify({
        apiVersion: "v1",
        kind: "Secret",
        metadata: { name: "login", namespace: "team-a" },
        stringData: { password: `${password}-2` },
      }),
    );
    const planned = await plan();
    t.equal(planned.code, 2, planned.stderr);
    for (const line of [
      "would change ConfigMap team-a/settings",
      "would change Widget team-a/first",
      "would create ConfigMap team-a/extra",
    ])
      t.match(planned.stdout, line);
    const shown = await diff();
    t.equal(shown.code, 1, shown.stderr);
    t.comment(shown.stdout);
    for (const line of [
      '.data.colour: "red" -> "blue"',
      '.data.size: "1" -> (absent)',
      ".spec.size: 1 -> 2",
      '.data.password: "(hidden)" -> "(hidden)"',
    ])
      t.match(shown.stdout, line);
    const json = await workstation.khw(["diff", "--nodes", "controller-0", "-o", "json"]);
    t.match(JSON.parse(json.stdout), {
      manifests: [
        { kind: "ConfigMap", fields: [{ path: ".data.colour", found: '"red"', wanted: '"blue"' }, {}] },
        {},
        {},
        {},
      ],
    });
    for (const text of [planned.stdout, shown.stdout, json.stdout]) {
      t.notMatch(text, password);
      t.notMatch(text, Buffer.from(password).toString("base64").slice(0, 16));
    }
    t.equal(await value("configmap", "settings", "{.data.colour}"), "red", "plan and diff changed nothing");
    await done();
    t.equal(await value("configmap", "settings", "{.data}"), '{"colour":"blue"}');
  });

  await scenario(t, "drift is shown by diff and repaired by bootstrap", async (t) => {
    t.equal((await kubectl("delete", "configmap", "extra", "-n", "team-a")).code, 0);
    t.match(await diff(), { code: 1, stdout: /ConfigMap team-a\/extra is missing/ });
    t.match(await done(), "manifests: ConfigMap team-a/extra created");
    t.match(await diff(), { code: 0 });
  });

  await scenario(
    t,
    "a conflict error names the object, field and manager, and --force-conflicts resolves the conflict",
    async (t) => {
      const edit = ["patch", "configmap", "settings", "-n", "team-a", "-p", '{"data":{"colour":"green"}}'];
      t.equal((await kubectl(...edit, "--field-manager", "somebody")).code, 0);
      await put("50-more.yaml", configMap("more", "{a: b}"));
      t.match(await diff(), { code: 1, stdout: /\.data\.colour: "green" -> "blue"/ });
      const refused = await bootstrap();
      failsWith(t, refused, "PARTIAL", [
        /20-objects.yaml:1:1: ConfigMap team-a\/settings/,
        /\.data\.colour \(set by "somebody"\)/,
        /--force-conflicts/,
      ]);
      t.notOk(await exists("configmap", "more", "-n", "team-a"), "no other object was applied");
      t.match(await done("--force-conflicts"), "manifests: ConfigMap team-a/settings changed");
      t.equal(await value("configmap", "settings", "{.data.colour}"), "blue");
      t.match(await diff(), { code: 0 });
    },
  );

  await scenario(t, "bootstrap applies no object if the API server refuses one of the objects", async (t) => {
    await put("60-unknown.yaml", "apiVersion: apps/v7\nkind: Deployment\nmetadata: {name: x}\n");
    await put("50-more.yaml", configMap("more", "{a: c}"));
    failsWith(t, await bootstrap(), "PARTIAL", [
      /60-unknown.yaml:1:1: Deployment x: the cluster has no kind Deployment in apps\/v7/,
    ]);
    await put("60-unknown.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: {a: [1]}\n");
    failsWith(t, await bootstrap(), "PARTIAL", [/60-unknown.yaml:1:1: ConfigMap x: the API server answered/]);
    t.equal(await value("configmap", "more", "{.data.a}"), "b");
    await rm(join(folder, "60-unknown.yaml"));
    await done();
    t.equal(await value("configmap", "more", "{.data.a}"), "c");
  });

  await scenario(t, "a killed bootstrap is continued by the next bootstrap", async (t) => {
    const names = Array.from({ length: 40 }, (_, index) => `many-${index}`);
    await put("70-many.yaml", names.map((name) => configMap(name, "{a: b}")).join("---\n"));
    const running = scene.begin();
    await running.said(/many-3 created/);
    t.ok(running.kill(), "the bootstrap was still running");
    await running.ended;
    const count = async (): Promise<number> =>
      (await kubectl("get", "configmaps", "-n", "team-a", "-l", labelled, "-o", "name")).stdout.trim().split("\n")
        .length;
    const before = await count();
    t.ok(before < 43, `${before} of 43 objects exist after the interruption`);
    await done();
    t.equal(await count(), 43);
    await rm(join(folder, "70-many.yaml"));
    const pruning = scene.begin();
    await pruning.said(/many-1\d deleted/);
    t.ok(pruning.kill(), "the bootstrap was still running");
    await pruning.ended;
    await done();
    const left = await count();
    t.ok(left === 3 || left === 4, "an object may stay only if its deletion was interrupted between the two requests");
  });

  await scenario(t, "an object is not forgotten while its kind is defined but not served", async (t) => {
    await put("60-second.yaml", widget.replace("first", "second"));
    await done();
    const stop = JSON.stringify([{ op: "replace", path: "/spec/versions/0/served", value: false }]);
    t.equal((await kubectl("patch", "crd", "widgets.example.com", "--type=json", "--patch", stop)).code, 0);
    await given("the kind is not served", async () => !(await exists("widgets", "-n", "team-a")) || undefined);
    await rm(join(folder, "60-second.yaml"));
    t.match(
      await done("--force-conflicts"),
      /Widget team-a\/second left the folder, and stays: the API server does not serve its kind at the moment/,
    );
    await given("the kind is served again", async () => (await exists("widgets", "-n", "team-a")) || undefined);
    t.match(await done(), "manifests: Widget team-a/second deleted");
  });

  await scenario(t, "only objects that khw created and recorded are deleted", async (t) => {
    const foreign = ["create", "configmap", "foreign", "-n", "team-a", "--from-literal=a=b"];
    t.equal((await kubectl(...foreign)).code, 0);
    t.equal((await kubectl("label", "configmap", "foreign", "-n", "team-a", `${labelled}=created`)).code, 0);
    for (const name of [
      "00-namespace.yaml",
      "10-definition.yaml",
      "20-objects.yaml",
      "30-secret.json",
      "40-system.yaml",
    ])
      await rm(join(folder, name));
    const planned = await plan();
    t.comment(planned.stdout);
    t.match(planned.stdout, "would delete ConfigMap team-a/settings");
    t.match(
      planned.stdout,
      /Namespace team-a left the folder, and stays: the object at .*50-more.yaml:1:1 is part of it/,
    );
    await rm(join(folder, "50-more.yaml"));
    await put("90-other.yaml", configMap("other", "{a: b}", "default"));
    const said = await done();
    t.comment(said);
    for (const object of ["Widget team-a/first", "Secret team-a/login", "CustomResourceDefinition widgets.example.com"])
      t.match(said, `manifests: ${object} deleted`);
    t.match(
      said,
      /Namespace team-a left the folder, and stays: it contains ConfigMap team-a\/foreign; .*--allow-prune Namespace\/team-a/,
    );
    t.match(said, /Namespace kube-public left the folder, and is not deleted/);
    t.ok(await exists("configmap", "foreign", "-n", "team-a"));
    t.ok(await exists("namespace", "kube-public"));
    t.match(await plan(), { code: 0 }, "plan does not count a kept object as a change");
    t.match(await done("--allow-prune", "Namespace/team-a"), "manifests: Namespace team-a deleted");
    await given("the namespace is gone", async () => !(await exists("namespace", "team-a")) || undefined);
  });

  await scenario(
    t,
    "bootstrap deletes no object if the record is lost, the folder is empty or the setting is removed",
    async (t) => {
      t.equal((await kubectl("delete", "configmap", "khw-manifests", "-n", "kube-system")).code, 0);
      await put("91-next.yaml", configMap("next", "{a: b}", "default"));
      t.match(await done(), /the record of applied objects .* was missing/);
      await rm(join(folder, "90-other.yaml"));
      await rm(join(folder, "91-next.yaml"));
      failsWith(t, await bootstrap(), "PARTIAL", [/the folder has no objects, so all 2 objects/, /--allow-prune all/]);
      await rmSetting(workstation.folder, async () => done());
      t.ok(await exists("configmap", "other", "-n", "default"));
      t.match(await done("--allow-prune", "all"), "manifests: ConfigMap default/other deleted");
      t.notOk(await exists("configmap", "next", "-n", "default"));
    },
  );
});

/** Calls `work` while khw.yaml does not name the folder. */
async function rmSetting(folder: string, work: () => Promise<unknown>): Promise<void> {
  const path = join(folder, "khw.yaml");
  const text = await readFile(path, "utf8");
  await writeFile(path, text.replace("manifests: objects\n", ""));
  try {
    await work();
  } finally {
    await writeFile(path, text);
  }
}
