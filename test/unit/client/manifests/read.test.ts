import { mkdir, mkdtemp, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t, { type Test } from "tap";
import { readManifests } from "../../../../client/manifests/read.ts";

async function makeFolder(t: Test, files: Readonly<Record<string, string>>): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "khw-manifests-"));
  t.teardown(() => rm(folder, { recursive: true }));
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
  return folder;
}

async function read(t: Test, files: Readonly<Record<string, string>>) {
  return readManifests({ manifests: await makeFolder(t, files) });
}

const map = (name: string): string => `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ${name}}\n`;

t.test("nothing is read if no folder of manifests is configured", async (t) => {
  t.equal(await readManifests({ manifests: undefined }), undefined);
});

t.test("documents, lists and JSON are read in the order of the files' names", async (t) => {
  const objects = await read(t, {
    "b.yml": `---\n${map("b1")}---\n# empty\n---\n${map("b2")}`,
    "a.json": '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","creationTimestamp":null},"status":{}}',
    "c.yaml": `apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: ConfigMap\n  metadata: {name: c}\n`,
    "README.md": "# no object",
    ".hidden.yaml": "no object",
  });
  t.strictSame(
    objects?.map(({ name }) => name),
    ["a", "b1", "b2", "c"],
  );
  t.match(objects?.[2]?.place, /b\.yml:8:1$/);
  t.match(objects?.[3]?.place, /c\.yaml:4:3: items\[0\]$/);
  t.strictSame(objects?.[0]?.object, { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "a" } });
});

t.test("values are read as kubectl reads them", async (t) => {
  const [object] = (await read(t, { "a.yaml": `${map("a")}data: {mode: 0644, "on": yes}\n` })) ?? [];
  t.strictSame(object?.object["data"], { mode: 420, on: true });
});

t.test("stringData of a Secret is moved into data", async (t) => {
  const secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {a: QQ==}\nstringData: {b: B}\n";
  const [object] = (await read(t, { "s.yaml": secret })) ?? [];
  t.strictSame(object?.object["data"], { a: "QQ==", b: "Qg==" });
  t.notOk(object?.object["stringData"]);
});

const faults: Readonly<Record<string, readonly [text: string, message: RegExp]>> = {
  "no apiVersion": ["kind: A\nmetadata: {name: a}\n", /f\.yaml:1:1: apiVersion: is missing/],
  "no kind": ["apiVersion: v1\nmetadata: {name: a}\n", /f\.yaml:1:1: kind: is missing/],
  "no name": ["apiVersion: v1\nkind: A\nmetadata: {}\n", /f\.yaml:3:11: metadata\.name: is missing/],
  "a number as name": ["apiVersion: v1\nkind: A\nmetadata:\n  name: 1\n", /f\.yaml:4:9: metadata\.name: is a number/],
  "a generated name": [
    "apiVersion: v1\nkind: A\nmetadata: {generateName: a}\n",
    /f\.yaml:3:26: metadata\.generateName/,
  ],
  "a name with a slash": ["apiVersion: v1\nkind: A\nmetadata: {name: a/b}\n", /"a\/b" is not a name/],
  "an exported object": [map("a").replace("}", ", uid: x}"), /metadata\.uid: remove the field/],
  "a status": [`${map("a")}status: {a: b}\n`, /f\.yaml:4:9: status: remove the field/],
  "khw's label": [map("a").replace("}", ", labels: {khw.dev/manifests: created}}"), /khw sets this label/],
  "a label that is not a string": [
    map("a").replace("}", ", labels: {a: yes}}"),
    /metadata\.labels\.a: the value is not a string/,
  ],
  "broken YAML": ["a: {b: 1\n", /f\.yaml:2:1: this is not YAML \(bad indent\)/],
  "a repeated key": [`${map("a")}kind: B\n`, /f\.yaml:4:1: this key is repeated/],
  "a tag": [`${map("a")}data: {a: !!binary QQ==}\n`, /f\.yaml:4:11: the tag is not supported/],
  "a boolean as key": [`${map("a")}data: {on: a}\n`, /f\.yaml:4:8: a key must be a string/],
  "a huge number": [`${map("a")}data: {a: 99999999999999999999}\n`, /f\.yaml:4:11: the number is too large/],
  "an unknown alias": [`${map("a")}data: *x\n`, /aliases cannot be resolved|not YAML/],
  "deep nesting": ["[".repeat(3000), /f\.yaml:1:\d+: (this is not YAML|the file is nested too deeply)/],
  "a list": ["- a\n", /f\.yaml:1:1: the document is not a Kubernetes object/],
  "the same object twice": [
    `${map("a")}---\n${map("a").replace("}", ", namespace: default}")}`,
    /f\.yaml:5:1: ConfigMap default\/a: the folder already contains this object, at .*f\.yaml:1:1/,
  ],
  "khw's ClusterRole": [
    "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: 'system:kube-apiserver-to-kubelet'}\n",
    /khw itself writes this object/,
  ],
  "khw's record": [map("khw-manifests").replace("}", ", namespace: kube-system}"), /khw itself writes this object/],
  "khw's grants": [
    "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {name: 'khw:x'}\n",
    /khw itself writes this object/,
  ],
};
for (const [what, [text, message]] of Object.entries(faults)) {
  t.test(`${what} is refused with its location`, async (t) => {
    await t.rejects(read(t, { "f.yaml": text }), { code: "CONFIG_INVALID", message });
  });
}

t.test("all faults in all files are reported, without the values of Secrets", async (t) => {
  const secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {pin: 4711, text: hunter2!}\n";
  const error = await read(t, { "a.yaml": secret, "b.yaml": "kind: A\n" }).catch((thrown: unknown) => thrown);
  const text = String(error);
  t.match(text, /a\.yaml:4:13: data\.pin: the value is not a string/);
  t.match(text, /b\.yaml:1:1: apiVersion: is missing/);
  t.notMatch(text, /4711|hunter2/);
});

t.test("a folder that cannot be read is refused", async (t) => {
  await t.rejects(readManifests({ manifests: "/nowhere" }), {
    code: "CONFIG_INVALID",
    message: /\/nowhere cannot be read/,
  });
  const folder = await makeFolder(t, {});
  await writeFile(join(folder, "a.yaml"), Buffer.from([0xff, 0xfe]));
  await t.rejects(readManifests({ manifests: folder }), { message: /a\.yaml: the file is not UTF-8/ });
});

t.test("links that lead out of the folder, subfolders and large files are refused", async (t) => {
  const folder = await makeFolder(t, { "a.yaml": map("a") });
  await symlink("a.yaml", join(folder, "0-link.yaml"));
  await t.rejects(
    readManifests({ manifests: folder }),
    { message: /the folder already contains this object/ },
    "a link within the folder is followed",
  );
  await rm(join(folder, "0-link.yaml"));
  await symlink("/etc/hostname", join(folder, "b.yaml"));
  await t.rejects(readManifests({ manifests: folder }), {
    message: /b\.yaml: the link points to .*, outside the folder/,
  });
  await rm(join(folder, "b.yaml"));
  await mkdir(join(folder, "inner"));
  await t.rejects(readManifests({ manifests: folder }), { message: /does not read folders inside the folder/ });
  await rm(join(folder, "inner"), { recursive: true });
  await truncate(join(folder, "a.yaml"), 5_000_000);
  await t.rejects(readManifests({ manifests: folder }), { message: /the file has 5000000 bytes/ });
});
