import t from "tap";
import { applyReview } from "../../../../client/manifests/apply.ts";
import { checkObject } from "../../../../client/manifests/check-object.ts";
import { manifestsText, rowsOf } from "../../../../client/manifests/diff.ts";
import type { Manifest } from "../../../../client/manifests/object.ts";
import { parseManifestFile } from "../../../../client/manifests/parse-file.ts";
import { describeReview } from "../../../../client/manifests/plan.ts";
import { parseAllowed } from "../../../../client/manifests/allow-prune.ts";
import { reviewManifests } from "../../../../client/manifests/review.ts";
import { type ApplyApi, applyApi } from "../../../fakes/apply-api.ts";

const map = (name: string, data = "{a: b}", namespace = "default"): string =>
  `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ${name}, namespace: ${namespace}}\ndata: ${data}\n---\n`;
const team = "apiVersion: v1\nkind: Namespace\nmetadata: {name: team}\n---\n";
const widget = "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w, namespace: default}\n---\n";
const definition = `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec: {group: example.com, scope: Namespaced, names: {kind: Widget, plural: widgets}, versions: [{name: v1, served: true}]}
---
`;
const path = (name: string, namespace = "default"): string => `/api/v1/namespaces/${namespace}/configmaps/${name}`;
const claim = (namespace: string): string =>
  `apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data, namespace: ${namespace}}\n---\n`;
const claimPath = (namespace: string): string => `/api/v1/namespaces/${namespace}/persistentvolumeclaims/data`;
const recordPath = path("khw-manifests", "kube-system");

function parse(text: string): Manifest[] {
  return parseManifestFile({ path: "f.yaml", text }).map(checkObject);
}

interface Consent {
  readonly forceConflicts?: boolean;
  readonly allowed?: readonly string[];
}

async function review(server: ApplyApi, text: string, { forceConflicts = false, allowed = [] }: Consent = {}) {
  const { signal } = new AbortController();
  return reviewManifests(server.api, parse(text), { signal, forceConflicts, allowed: parseAllowed(allowed) });
}

/** Applies the folder. Returns the notes and the errors. */
async function apply(server: ApplyApi, text: string, consent: Consent = {}) {
  const { signal } = new AbortController();
  const notes: string[] = [];
  const progress = {
    emit: (event: { readonly kind: string; readonly text?: string }) => void notes.push(event.text ?? ""),
    settled: async () => {},
  };
  const options = {
    progress,
    signal,
    forceConflicts: consent.forceConflicts === true,
    allowed: parseAllowed(consent.allowed ?? []),
  };
  const errors = await applyReview(server.api, await review(server, text, consent), options);
  return { notes, errors: errors.map(({ code, message }) => `${code}: ${message}`) };
}

async function plan(server: ApplyApi, text: string) {
  return describeReview(await review(server, text)).map(({ drift, error }) => drift ?? error?.message ?? "");
}

t.test(
  "definitions and namespaces are applied first, and the record is written before any object is created",
  async (t) => {
    const server = applyApi();
    const folder = `${widget}${map("a", "{a: b}", "team")}${team}${definition}`;
    t.strictSame(await plan(server, folder), [
      "would create Namespace team",
      "would create CustomResourceDefinition widgets.example.com",
      "would create Widget default/w",
      "would create ConfigMap team/a",
    ]);
    t.strictSame(server.changes, [], "plan changes nothing");
    t.match(await apply(server, folder), {
      errors: [],
      notes: [/Namespace team created/, /widgets/, /Widget/, /ConfigMap/],
    });
    t.match(server.changes[0], /^POST .*configmaps$/);
    t.match(
      [...new Set(server.changes.slice(1))],
      [/namespaces\/team$/, /customresourcedefinitions/, /widgets\/w$/, /configmaps\/a$/],
    );
    t.match(server.objects.get(path("a", "team")), { metadata: { labels: { "khw.dev/manifests": "created" } } });
    server.changes.length = 0;
    server.requests = 0;
    t.strictSame(await apply(server, folder), { errors: [], notes: [] });
    t.strictSame(server.changes, [], "the second run changes nothing");
    t.equal(
      server.requests,
      1 + 3 + 2 * 4,
      "there is one request for the record and one for each API version, and there are two for each object",
    );
  },
);

t.test("the diff shows each field that differs, but hides the values of a Secret", async (t) => {
  const server = applyApi();
  const secret = (value: string): string =>
    `apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {key: ${value}}\n---\n`;
  await apply(server, `${map("a", "{x.y: one, gone: two}")}${secret("first")}`);
  const text = manifestsText(rowsOf(await review(server, `${map("a", "{x.y: uno}")}${secret("second")}${map("b")}`)));
  t.equal(
    text,
    `cluster: manifests: ConfigMap default/a differs (f.yaml:1:1)
  .data["x.y"]: "one" -> "uno"
  .data.gone: "two" -> (absent)
cluster: manifests: Secret s differs (f.yaml:6:1)
  .data.key: "(hidden)" -> "(hidden)"
cluster: manifests: ConfigMap default/b is missing (f.yaml:11:1)
`,
  );
});

t.test("a conflict stops the run before any change, and the error names the field and the manager", async (t) => {
  const server = applyApi();
  await apply(server, map("a"));
  server.conflicts.set(path("a"), { field: ".data.a", manager: "kubectl-edit" });
  server.changes.length = 0;
  const folder = `${map("a", "{a: c}")}${map("b")}`;
  const message =
    'f.yaml:1:1: ConfigMap default/a: other managers have set fields to other values: .data.a (set by "kubectl-edit")';
  t.strictSame((await apply(server, folder)).errors, [`MANIFEST_REFUSED: ${message}`]);
  t.strictSame(server.changes, []);
  const { rows, errors } = rowsOf(await review(server, folder));
  t.match(rows, [
    { action: "change", reason: message, fields: [{ path: ".data.a", found: '"b"', wanted: '"c"' }] },
    {},
  ]);
  t.strictSame(errors, []);
  t.strictSame((await apply(server, folder, { forceConflicts: true })).errors, []);
  t.match(server.objects.get(path("a")), { data: { a: "c" } });
});

t.test("an unknown kind or a refused object stops the run before any change", async (t) => {
  const server = applyApi();
  const unknown = "apiVersion: v1\nkind: Gadget\nmetadata: {name: g}\n---\n";
  t.strictSame((await apply(server, `${map("a")}${unknown}`)).errors, [
    "MANIFEST_REFUSED: f.yaml:6:1: Gadget g: the cluster has no kind Gadget in v1",
  ]);
  const scoped = team.replace("team}", "team, namespace: a}");
  t.match((await apply(server, scoped)).errors, [/objects of this kind have no namespace/]);
  server.answers.set(`PATCH ${path("b")}`, { status: 422, body: { message: "data is wrong" } });
  t.match((await apply(server, `${map("a")}${map("b")}`)).errors, [
    /f\.yaml:6:1: ConfigMap default\/b: the API server answered 422: data is wrong/,
  ]);
  t.strictSame(server.changes, []);
});

t.test("the API server's message about a Secret is not shown", async (t) => {
  const server = applyApi();
  const body = { message: 'invalid value "hunter2"', reason: "Invalid", details: { causes: [{ field: "data.a" }] } };
  server.answers.set("PATCH /api/v1/namespaces/default/secrets/s", { status: 422, body });
  const { errors } = await apply(server, "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n");
  t.strictSame(errors, ["MANIFEST_REFUSED: f.yaml:1:1: Secret s: the API server answered 422: Invalid, data.a"]);
});

t.test(
  "an object that is no longer in the folder is deleted only if khw created and recorded the object",
  async (t) => {
    const server = applyApi();
    server.objects.set(path("before"), { metadata: { name: "before", namespace: "default", uid: "x" }, data: {} });
    await apply(server, `${map("mine")}${map("before")}${map("unlabelled")}${map("stays")}`);
    const foreign = { metadata: { name: "foreign", uid: "y", labels: { "khw.dev/manifests": "created" } } };
    server.objects.set(path("foreign"), foreign);
    const unlabelled = server.objects.get(path("unlabelled")) ?? {};
    server.objects.set(path("unlabelled"), {
      ...unlabelled,
      metadata: { ...Object(unlabelled["metadata"]), labels: {} },
    });
    t.match(await plan(server, map("stays")), [
      /ConfigMap default\/before left the folder, and stays: it existed before khw applied it/,
      /would delete ConfigMap default\/mine/,
      /ConfigMap default\/unlabelled left the folder, and stays: khw's label is no longer on it/,
    ]);
    const { notes, errors } = await apply(server, map("stays"));
    t.strictSame(errors, []);
    t.match(notes, [/mine deleted/, /before left the folder/, /unlabelled left the folder/]);
    t.notOk(server.objects.has(path("mine")));
    for (const name of ["before", "foreign", "unlabelled", "stays"]) t.ok(server.objects.has(path(name)), name);
    t.strictSame(
      await apply(server, map("stays")),
      { notes: [], errors: [] },
      "an object that stays is reported only once",
    );
  },
);

t.test("an object that appears after the review is adopted, and never deleted", async (t) => {
  const server = applyApi();
  const reviewed = await review(server, `${map("late")}${map("a")}`);
  server.objects.set(path("late"), { metadata: { name: "late", namespace: "default", uid: "x" }, data: {} });
  const { signal } = new AbortController();
  const progress = { emit: () => {}, settled: async () => {} };
  const options = { progress, signal, forceConflicts: false, allowed: new Set<string>() };
  t.strictSame(await applyReview(server.api, reviewed, options), []);
  t.match(server.objects.get(path("late")), { metadata: { uid: "x", labels: { "khw.dev/manifests": "adopted" } } });
  t.match(server.objects.get(path("a")), { metadata: { labels: { "khw.dev/manifests": "created" } } });
  t.match((await apply(server, map("a"))).notes, [/late left the folder, and is not deleted: it existed before/]);
});

t.test("if the API server's answer does not arrive, the object keeps the label adopted", async (t) => {
  const server = applyApi();
  const bodies: unknown[] = [];
  const api: ApplyApi["api"] = async (method, target, request) => {
    if (method === "PATCH" && request.dryRun !== true) bodies.push(request.body);
    return server.api(method, target, request);
  };
  await apply({ ...server, api }, map("a"));
  const labels = (value: string): object => ({ metadata: { labels: { "khw.dev/manifests": value } } });
  t.match(bodies, [labels("adopted"), { metadata: { ...Object(labels("created")).metadata, uid: /^uid-/ } }]);
});

t.test("an object that khw created keeps its label if its kind was not served during the review", async (t) => {
  const server = applyApi();
  await apply(server, `${definition}${widget}`);
  server.answers.set("GET /apis/example.com/v1", { status: 404, body: "404 page not found" });
  t.strictSame((await apply(server, `${definition}${widget}`)).errors, []);
  const live = server.objects.get("/apis/example.com/v1/namespaces/default/widgets/w");
  t.match(live, { metadata: { labels: { "khw.dev/manifests": "created" } } });
});

t.test("an object stays in the record while its kind is defined but not served", async (t) => {
  const server = applyApi();
  await apply(server, `${definition}${widget}`);
  server.answers.set("GET /apis/example.com/v1", { status: 404, body: "404 page not found" });
  const whole = server.answers.set("GET /apis/example.com", { status: 404, body: "404 page not found" });
  t.match(await apply(server, definition), {
    notes: [
      /Widget default\/w left the folder, and stays: .* does not serve its kind .* kubectl get crd widgets\.example\.com/,
    ],
    errors: [],
  });
  whole.clear();
  t.match((await apply(server, definition)).notes, [/Widget default\/w deleted/]);
});

t.test("an object whose kind is no longer defined is removed from the record", async (t) => {
  const server = applyApi();
  await apply(server, `${definition}${widget}${map("a")}`);
  server.objects.delete("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.example.com");
  server.objects.delete("/apis/example.com/v1/namespaces/default/widgets/w");
  t.strictSame(await apply(server, map("a")), { notes: [], errors: [] });
});

t.test("a namespace or kind that contains other objects stays until --allow-prune names it", async (t) => {
  const server = applyApi();
  await apply(server, `${team}${definition}${map("inside", "{}", "team")}${map("a")}`);
  server.objects.set(path("foreign", "team"), { metadata: { name: "foreign", namespace: "team", uid: "f" } });
  server.objects.set("/apis/example.com/v1/namespaces/x/widgets/w", {
    metadata: { name: "w", namespace: "x", uid: "w" },
  });
  const first = await apply(server, map("a"));
  t.match(first.notes, [
    /Namespace team left the folder, and stays: it contains ConfigMap team\/foreign; .*--allow-prune Namespace\/team/,
    /CustomResourceDefinition widgets\.example\.com left the folder, and stays: it contains Widget x\/w; .*--allow-prune CustomResourceDefinition\/widgets\.example\.com/,
    /ConfigMap team\/inside deleted/,
  ]);
  t.ok(server.objects.has("/api/v1/namespaces/team"));
  const second = await apply(server, map("a"), {
    allowed: ["Namespace/team", "CustomResourceDefinition/widgets.example.com"],
  });
  t.match(second.notes, [/CustomResourceDefinition widgets\.example\.com deleted/, /Namespace team deleted/]);
});

t.test("an empty namespace and a kind without objects are deleted last", async (t) => {
  const server = applyApi();
  await apply(server, `${team}${definition}${widget}${map("inside", "{}", "team")}${map("a")}`);
  const { notes } = await apply(server, map("a"));
  t.match(notes.slice(-2), [/CustomResourceDefinition .* deleted/, /Namespace team deleted/]);
  t.equal(notes.length, 4);
});

t.test("a namespace and its volume claims are kept while the folder has an object in the namespace", async (t) => {
  const server = applyApi();
  await apply(server, `${team}${map("inside", "{}", "team")}${claim("team")}`);
  const { notes } = await apply(server, map("inside", "{}", "team"), { allowed: ["Namespace/team"] });
  t.match(notes, [
    /Namespace team left the folder, and stays: the object at f\.yaml:1:1 is part of it/,
    /PersistentVolumeClaim team\/data left the folder, and stays: it may hold data/,
  ]);
});

t.test("--allow-prune deletes only the volume claim in the named namespace", async (t) => {
  const server = applyApi();
  await apply(server, `${team}${claim("team")}${claim("default")}${map("a")}`);
  t.match((await apply(server, `${team}${map("a")}`)).notes, [
    /default\/data left the folder, and stays: .*--allow-prune PersistentVolumeClaim\/default\/data$/,
    /team\/data left the folder, and stays: .*--allow-prune PersistentVolumeClaim\/team\/data$/,
  ]);
  await apply(server, `${team}${map("a")}`, { allowed: ["PersistentVolumeClaim/default/data"] });
  t.ok(server.objects.has(claimPath("team")));
  t.notOk(server.objects.has(claimPath("default")));
});

t.test("a namespace is kept if it contains a volume claim that --allow-prune does not name", async (t) => {
  const server = applyApi();
  const volumes = async (): Promise<string[]> => plan(server, map("a"));
  await apply(server, `${team}${claim("team")}${map("a")}`);
  t.match(await volumes(), [/Namespace team .* stays: it contains PersistentVolumeClaim/, /it may hold data/]);
  const { notes } = await apply(server, map("a"), { allowed: ["Namespace/team"] });
  t.match(notes, [
    /Namespace team .* stays: it contains .*--allow-prune Namespace\/team PersistentVolumeClaim\/team\/data$/,
    /PersistentVolumeClaim team\/data left the folder, and stays: it may hold data/,
  ]);
  t.ok(server.objects.has(claimPath("team")));
  const both = { allowed: ["Namespace/team", "PersistentVolumeClaim/team/data"] };
  t.match((await apply(server, map("a"), both)).notes, [/team\/data deleted/, /Namespace team deleted/]);
});

t.test("an object that existed before khw applied it is reported as deleted with its namespace", async (t) => {
  const server = applyApi();
  await apply(server, `${team}${map("a")}`);
  const before = { metadata: { name: "before", namespace: "team", uid: "x" }, data: {} };
  server.objects.set(path("before", "team"), before);
  await apply(server, `${team}${map("before", "{}", "team")}${map("a")}`);
  t.match((await apply(server, map("a"), { allowed: ["Namespace/team"] })).notes, [
    /Namespace team deleted/,
    /ConfigMap team\/before left the folder, and was deleted with Namespace team/,
  ]);
});

t.test("a namespace whose contents cannot be listed counts as not empty", async (t) => {
  const server = applyApi();
  await apply(server, `${team}${map("a")}`);
  server.answers.set("GET /api/v1/namespaces/team/secrets", { status: 503, body: {} });
  t.match((await apply(server, map("a"))).notes, [
    /Namespace team left the folder, and stays: its contents cannot be listed/,
  ]);
});

t.test(
  "an object that exists only in another version of its API group counts as contents of the namespace",
  async (t) => {
    const server = applyApi();
    await apply(server, `${team}${map("a")}`);
    const nightly = { metadata: { name: "nightly", namespace: "team", uid: "n" } };
    server.objects.set("/apis/batch/v1beta1/namespaces/team/cronjobs/nightly", nightly);
    t.match((await apply(server, map("a"))).notes, [
      /Namespace team left the folder, and stays: it contains CronJob team\/nightly/,
    ]);
    t.ok(server.objects.has("/api/v1/namespaces/team"));
  },
);

t.test("a namespace counts as not empty if an API version is listed but not served", async (t) => {
  const server = applyApi();
  await apply(server, `${team}${map("a")}`);
  server.answers.set("GET /apis/batch/v1beta1", { status: 404, body: "404 page not found" });
  t.match((await apply(server, map("a"))).notes, [
    /Namespace team left the folder, and stays: its contents cannot be listed/,
  ]);
});

t.test("an object of the kind Event in another API group counts as contents of the namespace", async (t) => {
  const server = applyApi();
  await apply(server, `${team}${map("a")}`);
  const cron = { name: "events", kind: "Event", namespaced: true, verbs: ["list", "delete"] };
  server.answers.set("GET /apis/batch/v1beta1", { status: 200, body: { resources: [cron] } });
  const items = [{ metadata: { name: "party", namespace: "team", uid: "p" } }];
  server.answers.set("GET /apis/batch/v1beta1/namespaces/team/events", { status: 200, body: { items } });
  t.match((await apply(server, map("a"))).notes, [/stays: it contains Event team\/party/]);
});

t.test("a lost record is reported and deletes nothing, and an unreadable record stops the run", async (t) => {
  const server = applyApi();
  await apply(server, `${map("a")}${map("b")}`);
  server.objects.delete(recordPath);
  t.match(await apply(server, map("a")), { errors: [], notes: [/the record of applied objects .* was missing/] });
  t.ok(server.objects.has(path("b")));
  server.objects.set(recordPath, { metadata: { resourceVersion: "1" }, data: { "objects.json": "[{}]" } });
  await t.rejects(apply(server, map("a")), { code: "MANIFEST_REFUSED", message: /the record .* cannot be read/ });
});

t.test("an empty folder deletes nothing unless the user allows it", async (t) => {
  const server = applyApi();
  t.strictSame(await apply(server, ""), { notes: [], errors: [] });
  t.strictSame(server.changes, [], "an empty folder needs no record");
  await apply(server, map("a"));
  t.match((await apply(server, "")).errors, [
    /the folder has no objects, so all 1 objects that khw applied would be deleted/,
  ]);
  t.ok(server.objects.has(path("a")));
  t.match(await apply(server, "", { allowed: ["all"] }), { errors: [], notes: [/ConfigMap default\/a deleted/] });
});

t.test("a recorded object is not deleted if an object in the folder has the same UID", async (t) => {
  const server = applyApi();
  await apply(server, map("a"));
  const record = JSON.stringify([{ apiVersion: "v1", kind: "Secret", namespace: "default", name: "a" }]);
  server.objects.set(recordPath, { metadata: { resourceVersion: "1" }, data: { "objects.json": record } });
  const twin = server.objects.get(path("a")) ?? {};
  server.objects.set("/api/v1/namespaces/default/secrets/a", twin);
  t.strictSame((await apply(server, map("a"))).errors, []);
  t.ok(server.objects.has("/api/v1/namespaces/default/secrets/a"));
});

t.test("a second bootstrap that runs at the same time is detected", async (t) => {
  const server = applyApi();
  await apply(server, map("a"));
  server.answers.set(`PUT ${recordPath}`, { status: 409, body: {} });
  await t.rejects(apply(server, `${map("a")}${map("b")}`), {
    code: "MANIFEST_REFUSED",
    message: /another bootstrap is running/,
  });
  t.notOk(server.objects.has(path("b")));
});

t.test("values of --allow-prune are checked", async (t) => {
  t.throws(() => parseAllowed(["team"]), { code: "INVALID_ARGUMENT", message: /"team" is neither KIND\/NAME nor/ });
  t.throws(() => parseAllowed(["PersistentVolumeClaim/data"]), { message: /names no namespace/ });
});
