import { spawn } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { chmod, cp, link, mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { pkiCheck } from "../../../../../client/commands/pki-check.ts";
import { pkiCreate } from "../../../../../client/commands/pki-create.ts";
import { pkiShow } from "../../../../../client/commands/pki-show.ts";
import { parseConfig } from "../../../../../client/config/load.ts";
import type { ClusterConfig } from "../../../../../client/config/schema.ts";
import { parseYaml } from "../../../../../client/config/yaml.ts";
import type { Context } from "../../../../../client/terminal/context.ts";
import type { ProgressEvent } from "../../../../../client/progress/progress.ts";
import {
  provideCredentials,
  reissueForNewNodes,
  saveNewCredentials,
} from "../../../../../client/rollout/credentials.ts";
import type { Member } from "../../../../../client/cluster/open.ts";
import { replaceFiles, writeNew } from "../../../../../client/pki/cluster/folder.ts";
import { completeFolder } from "../../../../../client/pki/folder.ts";
import { secretsOf } from "../../../../fixtures/secrets.ts";

const base = await mkdtemp(join(tmpdir(), "khw-pki-create-"));
t.teardown(() => rm(base, { recursive: true }));

const yaml = `nodes:
  - {name: controller-0, internalIp: 10.240.0.10}
  - {name: controller-1, internalIp: 10.240.0.11}
cluster: {publicAddress: 203.0.113.10}
loadBalancer: none
pki: {workers: {worker-0: [10.240.0.20]}}
`;

function configOf(folder: string, flags: Readonly<Record<string, string | boolean>> = {}): ClusterConfig {
  const given = new Map(Object.entries({ "--credentials": folder, ...flags }));
  return parseConfig(parseYaml(yaml, { name: "khw.yaml", folder: base }), { flags: given, folder: base });
}

function context(): Context & { readonly written: () => string } {
  let text = "";
  const write = (more: string): void => void (text += more);
  return { write, warn: write, terminal: false, env: {}, signal: new AbortController().signal, written: () => text };
}

async function create(folder: string, renew: readonly string[] = []): Promise<string> {
  const told = context();
  t.equal(await pkiCreate(configOf(folder), told, { output: "text", renew }), 0);
  return told.written();
}

async function check(
  folder: string,
): Promise<{ code: number; findings: { severity: string; file: string; what: string }[] }> {
  const told = context();
  const code = await pkiCheck(configOf(folder), told, { output: "json", folder: undefined });
  return { code, ...JSON.parse(told.written()) };
}

const sound = join(base, "sound");
const told = await create(sound);

t.test("all created files are readable only by the owner, and each file is reported without secrets", async (t) => {
  const names = await readdir(sound);
  t.equal(names.length, 22);
  t.equal((await stat(sound)).mode & 0o777, 0o700);
  for (const name of names) {
    t.equal((await stat(join(sound, name))).mode & 0o777, 0o600, name);
    t.ok(told.includes(`${join(sound, name)}: `), name);
  }
  t.match(told, /\/kubernetes\.pem: CN=kubernetes, O=Kubernetes, valid until \d{4}-\d\d-\d\d\n/);
  t.match(told, "note: ca-key.pem is copied to the controllers, as in lab 08");
  for (const secret of await secretsOf(sound)) t.notOk(told.includes(secret));
});

t.test("pki check finds no problem in the files that pki create created", async (t) => {
  t.same(await check(sound).then(({ code, findings }) => ({ code, findings })), { code: 0, findings: [] });
});

t.test("a second run of pki create changes nothing", async (t) => {
  const before = await fingerprint(sound);
  t.equal(await create(sound), `note: ${sound} has all files\n`);
  t.same(await fingerprint(sound), before);
});

t.test("missing files are created, with a note about any file that a running cluster already has", async (t) => {
  const folder = await copy();
  await rm(join(folder, "encryption-config.yaml"));
  await rm(join(folder, "admin.kubeconfig"));
  const before = await fingerprint(folder);
  const text = await create(folder);
  t.match(
    text,
    "note: encryption-config.yaml: newly created. A cluster that is already running needs its existing files",
  );
  const after = await fingerprint(folder);
  t.match(after, before);
  t.equal(Object.keys(after).length, Object.keys(before).length + 2);
  t.equal((await check(folder)).code, 0);
});

t.test(
  "with the aggregation layer, pki create adds the layer's files, and pki check and pki show include them",
  async (t) => {
    const folder = await copy();
    const before = await fingerprint(folder);
    const run = async (command: (config: ClusterConfig, told: ReturnType<typeof context>) => Promise<number>) => {
      const told = context();
      return { code: await command(configOf(folder, { "--aggregation": true }), told), text: told.written() };
    };
    const missing = await run((config, told) => pkiCheck(config, told, { output: "text", folder: undefined }));
    t.equal(missing.code, 2);
    t.match(missing.text, "front-proxy-ca.pem: is missing");
    t.match(missing.text, "create missing files with khw-client pki create --aggregation");
    const created = await run((config, told) => pkiCreate(config, told, { output: "text", renew: [] }));
    t.match(created.text, "note: front-proxy-client.pem is new; run khw-client bootstrap");
    t.match(await fingerprint(folder), before, "no other file changes");
    const sound = await run((config, told) => pkiCheck(config, told, { output: "text", folder: undefined }));
    t.equal(sound.code, 0, sound.text);
    const shown = await run((config, told) => pkiShow(config, told, { output: "text", folder: undefined }));
    t.match(shown.text, /front-proxy-client\.pem +CN=front-proxy-client, O=Kubernetes +CN=Kubernetes front proxy/);
    t.equal(
      (await check(folder)).code,
      0,
      "pki check accepts the additional files even if the aggregation layer is off",
    );
    await cp(join(folder, "ca-key.pem"), join(folder, "front-proxy-ca-key.pem"));
    t.match((await check(folder)).findings, [
      { file: "front-proxy-ca-key.pem", what: /^is not the key of front-proxy-ca/ },
    ]);
  },
);

t.test(
  "--renew issues certificates with new keys and backs up the old files, but keeps the service account key",
  async (t) => {
    const folder = await copy();
    const before = await fingerprint(folder);
    const text = await create(folder, ["kube-scheduler", "service-account"]);
    const after = await fingerprint(folder);
    const kept = (await readdir(folder)).find((name) => name.startsWith("replaced-")) ?? "";
    t.match(text, `note: the old files are in ${join(folder, kept)}; `);
    const changed = Object.keys(before).filter((name) => before[name] !== after[name]);
    t.same(changed, [
      "kube-scheduler-key.pem",
      "kube-scheduler.kubeconfig",
      "kube-scheduler.pem",
      "service-account.pem",
    ]);
    const old = await fingerprint(join(folder, kept));
    for (const name of changed) t.equal(old[name], before[name], name);
    t.equal((await stat(join(folder, kept))).mode & 0o777, 0o700);
    t.same(
      (await readdir(folder)).filter((name) => name.endsWith(".new")),
      [],
    );
    t.equal((await check(folder)).code, 0);
  },
);

t.test("--renew all renews every certificate, and an unknown name is refused", async (t) => {
  const folder = await copy();
  const serial = async (name: string) => new X509Certificate(await readFile(join(folder, name))).serialNumber;
  const before = await Promise.all([serial("ca.pem"), serial("worker-0.pem"), serial("kubernetes.pem")]);
  await create(folder, ["all"]);
  const after = await Promise.all([serial("ca.pem"), serial("worker-0.pem"), serial("kubernetes.pem")]);
  t.same(
    before.map((number, index) => number === after[index]),
    [true, false, false],
  );
  t.equal((await check(folder)).code, 0);
  const wrong = pkiCreate(configOf(folder), context(), { output: "text", renew: ["nobody"] });
  await t.rejects(wrong, {
    code: "INVALID_ARGUMENT",
    message: /certificate: "nobody" is not a certificate of the cluster/,
  });
});

t.test("in an empty folder, --renew all creates every file and an unknown name is refused", async (t) => {
  const folder = join(base, "renew-nothing");
  const wrong = pkiCreate(configOf(folder), context(), { output: "text", renew: ["nobody"] });
  await t.rejects(wrong, {
    code: "INVALID_ARGUMENT",
    message: /certificate: "nobody" is not a certificate of the cluster/,
  });
  await t.rejects(readdir(folder), { code: "ENOENT" });
  await create(folder, ["all"]);
  t.equal((await check(folder)).code, 0);
});

const refusals: readonly [title: string, change: (folder: string) => Promise<unknown>, message: RegExp][] = [
  [
    "a certificate has no key",
    (folder) => rm(join(folder, "admin-key.pem")),
    /^admin-key\.pem is missing, but admin\.pem/,
  ],
  ["a key has no certificate", (folder) => rm(join(folder, "admin.pem")), /^admin\.pem is missing, but admin-key\.pem/],
  [
    "a key belongs to another certificate",
    (folder) => cp(join(folder, "kube-proxy-key.pem"), join(folder, "admin-key.pem")),
    /^admin-key\.pem: is not the key of admin\.pem$/,
  ],
  [
    "the CA has no key, but must sign a certificate",
    async (folder) => {
      for (const name of ["ca-key.pem", "admin.pem", "admin-key.pem"]) await rm(join(folder, name));
    },
    /^ca-key\.pem is missing, but is needed to sign admin$/,
  ],
  [
    "the CA is missing, but some of its certificates exist",
    async (folder) => {
      for (const name of ["ca.pem", "ca-key.pem", "admin.pem", "admin-key.pem"]) await rm(join(folder, name));
    },
    /^ca\.pem and ca-key\.pem are missing, but their CA issued kube-controller-manager, /,
  ],
  [
    "the CA is missing, but all of its certificates exist",
    async (folder) => {
      for (const name of ["ca.pem", "ca-key.pem"]) await rm(join(folder, name));
    },
    /^ca\.pem and ca-key\.pem are missing, but their CA issued admin, /,
  ],
  [
    "the CA's certificate is missing, but its key and all certificates that it issued exist",
    (folder) => rm(join(folder, "ca.pem")),
    /^ca\.pem is missing, but ca-key\.pem is present$/,
  ],
];
for (const [title, change, message] of refusals) {
  t.test(`${title}: pki create is refused, and nothing is created`, async (t) => {
    const folder = await copy();
    await change(folder);
    const before = await fingerprint(folder);
    const refused = pkiCreate(configOf(folder), context(), { output: "text", renew: [] });
    await t.rejects(refused, { code: "CREDENTIAL_INVALID", message });
    t.same(await fingerprint(folder), before);
  });
}

t.test("a CA without its key is accepted if nothing must be signed", async (t) => {
  const folder = await copy();
  await rm(join(folder, "ca-key.pem"));
  await rm(join(folder, "worker-0.kubeconfig"));
  t.match(await create(folder), /^[^\n]*worker-0\.kubeconfig: kubeconfig for https:\/\/203\.0\.113\.10:6443\n$/);
});

t.test("in JSON format, pki create reports the created, replaced and existing files", async (t) => {
  const folder = await copy();
  await rm(join(folder, "admin.kubeconfig"));
  const told = context();
  await pkiCreate(configOf(folder), told, { output: "json", renew: ["kube-proxy"] });
  const { files, present, replaced, ...rest } = JSON.parse(told.written());
  t.same(rest, { folder });
  t.same(files.map(({ file }: { file: string }) => file).sort(), [
    "admin.kubeconfig",
    "kube-proxy-key.pem",
    "kube-proxy.kubeconfig",
    "kube-proxy.pem",
  ]);
  t.equal(present.length, 21);
  t.match(replaced, /\/replaced-/);
  for (const secret of await secretsOf(folder)) t.notOk(told.written().includes(secret));
});

t.test(
  "a certificate validity longer than the CA's validity is refused, and the error names the setting",
  async (t) => {
    const config = configOf(join(base, "short"), { "--ca-days": "30" });
    const refused = pkiCreate(config, context(), { output: "text", renew: [] });
    await t.rejects(refused, {
      code: "INVALID_ARGUMENT",
      message: /^pki\.days: 365 days is longer than the remaining validity of the CA/,
    });
  },
);

t.test(
  "pki check also checks the files that bootstrap ignores, and reports errors and warnings for each",
  async (t) => {
    const folder = await copy();
    await cp(join(folder, "admin-key.pem"), join(folder, "worker-0-key.pem"));
    await cp(join(folder, "kube-scheduler.pem"), join(folder, "kube-proxy.pem"));
    await cp(join(folder, "kube-scheduler-key.pem"), join(folder, "kube-proxy-key.pem"));
    await chmod(join(folder, "encryption-config.yaml"), 0o640);
    const { code, findings } = await check(folder);
    t.equal(code, 2);
    t.match(findings, [
      { severity: "error", file: "kube-proxy.pem", what: "is system:kube-scheduler, not system:kube-proxy" },
      { severity: "error", file: "kube-proxy.pem", what: "is system:kube-scheduler, not system:node-proxier" },
      { severity: "error", file: "worker-0-key.pem", what: "is not the key of worker-0.pem" },
      { severity: "warning", file: "encryption-config.yaml", what: "other users can read or change it: 0640" },
    ]);
    t.equal(findings.length, 4);
  },
);

t.test("if no nodes are given, pki check reports the checks that could not run", async (t) => {
  const told = context();
  const config = { ...configOf(sound), nodes: [] };
  t.equal(await pkiCheck(config, told, { output: "text", folder: undefined }), 0);
  t.match(
    told.written(),
    /^not run {2}whether kubernetes\.pem has the addresses of the controllers .*: no nodes given\n.*: 22 files, no findings\n$/,
  );
  await t.rejects(pkiCheck(config, told, { output: "text", folder: join(base, "nowhere") }), { code: "IO_FAILED" });
});

t.test("pki show lists every certificate, but no key", async (t) => {
  const told = context();
  await pkiShow(configOf(sound), told, { output: "json", folder: undefined });
  const { certificates } = JSON.parse(told.written());
  t.equal(certificates.length, 13);
  t.match(
    certificates.find(({ file }: { file: string }) => file === "worker-0.pem"),
    {
      subject: "CN=system:node:worker-0, O=system:nodes",
      names: ["worker-0", "10.240.0.20"],
      issuer: "CN=Kubernetes, O=Kubernetes",
      key: "rsa 2048",
    },
  );
  const table = context();
  await pkiShow(configOf(sound), table, { output: "text", folder: sound });
  t.match(table.written(), /^FILE +SUBJECT +ISSUER +KEY +EXPIRES IN +NAMES\n/);
  t.match(
    table.written(),
    /\nadmin\.pem +CN=admin, O=system:masters +CN=Kubernetes, O=Kubernetes +rsa 2048 +364 days +-\n/,
  );
  for (const secret of await secretsOf(sound)) t.notOk(`${told.written()}${table.written()}`.includes(secret));
});

const addresses = {
  controllers: [{ name: "controller-0", internalIp: "10.240.0.10" }],
  publicAddress: "203.0.113.10",
};
/** Creates a fake node. `worked` specifies whether the node's agent reports an earlier operation. */
function member(worked: boolean): Member {
  const operation = worked ? { id: "1", holder: "", startedUnixMillis: 0, state: 2 as const } : undefined;
  const info = { agentVersion: "", identity: undefined, architecture: "amd64", operation, clockUnixMillis: 0 };
  // oxlint-disable-next-line no-unsafe-type-assertion -- only the node's name is read
  return { node: { address: { name: "controller-0" } } as unknown as Member["node"], info };
}

t.test(
  "bootstrap creates all files in an empty folder, but no files in a folder that already has a file",
  async (t) => {
    const folder = join(base, "provided");
    const options = { addresses, members: [member(false)] };
    const made = await provideCredentials(configOf(folder), { ...options, complete: true });
    t.equal(Object.keys(made ?? {}).length, 22);
    await t.rejects(stat(folder), { code: "ENOENT" }, "the files are not written before all obstacles are checked");
    await writeNew(folder, made ?? {});
    t.equal((await readdir(folder)).length, 22);
    t.equal(await provideCredentials(configOf(folder), { ...options, complete: true }), undefined);

    const partial = await mkdtemp(join(base, "partial-"));
    await writeFile(join(partial, "ca.pem"), "x");
    t.equal(await provideCredentials(configOf(partial), { ...options, complete: true }), undefined);
    t.same(await readdir(partial), ["ca.pem"]);
    const elsewhere = configOf(join(base, "none"), { "--admin-kubeconfig": join(folder, "admin.kubeconfig") });
    t.equal(await provideCredentials(elsewhere, { ...options, complete: true }), undefined);
  },
);

t.test("kubernetes.pem is reissued for a new controller's address and keeps its existing names", async (t) => {
  const folder = await copy();
  const config = configOf(folder);
  const at = (internalIp: string) => ({
    ...addresses,
    controllers: [...addresses.controllers, { name: "controller-9", internalIp }],
  });
  const before = subjectNames(await readFile(join(folder, "kubernetes.pem"), "utf8"));
  t.strictSame(
    await reissueForNewNodes(config, addresses),
    {},
    "nothing is reissued if the certificate covers every node",
  );
  const reissued = await reissueForNewNodes(config, at("10.240.0.19"));
  t.strictSame(Object.keys(reissued).toSorted(), ["kubernetes-key.pem", "kubernetes.pem"]);
  const after = subjectNames(reissued["kubernetes.pem"] ?? "");
  t.strictSame(after.toSorted(), [...before, "IP Address:10.240.0.19"].toSorted());
  t.same(await fingerprint(folder), await fingerprint(sound), "reissuing a certificate does not write any file yet");

  const notes: string[] = [];
  const progress = {
    emit: (event: ProgressEvent) => void (event.kind === "note" && notes.push(event.text)),
    settled: async () => {},
  };
  await saveNewCredentials({ made: {}, reissued }, config, { progress });
  t.match(notes, [/^kubernetes\.pem is reissued .*; the old files are kept in .*replaced-/]);
  t.equal(await readFile(join(folder, "kubernetes.pem"), "utf8"), reissued["kubernetes.pem"]);
  t.strictSame(await reissueForNewNodes(config, at("10.240.0.19")), {}, "a second run has nothing to reissue");
  await rm(join(folder, "ca-key.pem"));
  t.strictSame(await reissueForNewNodes(config, at("10.240.0.20")), {}, "without the CA's key, nothing is reissued");
});

function subjectNames(pem: string): string[] {
  return new X509Certificate(pem).subjectAltName?.split(", ") ?? [];
}

t.test("bootstrap does not create a second CA for nodes that already have a cluster", async (t) => {
  const folder = join(base, "wrong-folder");
  const refused = provideCredentials(configOf(folder), {
    addresses,
    members: [member(false), member(true)],
    complete: true,
  });
  await t.rejects(refused, {
    code: "CREDENTIAL_INVALID",
    message: /the folder has no files, but controller-0 was set up/,
  });
  await t.rejects(stat(folder), { code: "ENOENT" });
});

/** Returns the folder that a run leaves behind if it is killed after adding only these files. */
async function killed(added: readonly string[], pid: number): Promise<string> {
  const folder = await copy();
  const staging = join(folder, `.new-${pid}-abc`);
  await mkdir(staging);
  for (const name of await readdir(sound)) {
    await link(join(folder, name), join(staging, name));
    if (!added.includes(name)) await rm(join(folder, name));
  }
  return folder;
}

async function deadPid(): Promise<number> {
  const child = spawn("true");
  await once(child, "exit");
  return child.pid ?? 0;
}

for (const added of [["ca-key.pem"], ["ca-key.pem", "ca.pem", "admin.pem"]]) {
  t.test(`after a killed run has added only ${added.join(", ")}, the next run adds the remaining files`, async (t) => {
    const folder = await killed(added, await deadPid());
    t.equal(await create(folder), `note: ${folder} has all files\n`);
    t.same(await fingerprint(folder), await fingerprint(sound));
    t.equal((await readdir(folder)).length, 22, "no temporary file is left");

    const again = await killed(added, await deadPid());
    const options = { addresses, members: [member(false)] };
    await provideCredentials(configOf(again), { ...options, complete: false });
    t.equal((await readdir(again)).length, added.length + 1, "a plan does not complete the folder");
    t.equal(await provideCredentials(configOf(again), { ...options, complete: true }), undefined);
    t.same(await fingerprint(again), await fingerprint(sound));
  });
}

t.test(
  "temporary files of a killed run are removed if the run added no file, but temporary files of a running process are kept",
  async (t) => {
    const folder = await killed([], await deadPid());
    await create(folder);
    t.equal((await readdir(folder)).length, 22);
    t.not(
      (await fingerprint(folder))["ca.pem"],
      (await fingerprint(sound))["ca.pem"],
      "the new CA differs from the old CA",
    );

    const busy = await killed(["ca-key.pem"], process.ppid);
    await t.rejects(create(busy), { code: "CREDENTIAL_INVALID", message: /^ca\.pem is missing/ });
    t.equal((await readdir(busy)).length, 2);
  },
);

async function copy(): Promise<string> {
  const folder = await mkdtemp(join(base, "copy-"));
  await cp(sound, folder, { recursive: true });
  return folder;
}

/** Returns the contents of each file. */
async function fingerprint(folder: string): Promise<Record<string, string>> {
  const names = (await readdir(folder, { withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map(({ name }) => name);
  const contents = await Promise.all(
    names.sort().map(async (name) => [name, await readFile(join(folder, name), "utf8")] as const),
  );
  return Object.fromEntries(contents);
}

const renewed = ["kubernetes.pem", "kubernetes-key.pem", "admin.pem", "admin-key.pem"];

/** Returns the folder that a run leaves behind if it is killed after replacing only these of its four files. */
async function killedReplacing(placed: readonly string[]) {
  const folder = await copy();
  const backup = join(folder, "replaced-2026-01-31T12-00-00-000Z");
  const decided = join(backup, `.replace-${await deadPid()}`);
  await mkdir(decided, { recursive: true });
  for (const name of renewed) {
    await link(join(folder, name), join(backup, name));
    await writeFile(join(decided, name), `new ${name}`);
  }
  for (const name of placed) {
    await rm(join(folder, name));
    await link(join(decided, name), join(folder, name));
  }
  return { folder, backup, decided };
}

for (const placed of [[], ["kubernetes.pem"], ["kubernetes.pem", "kubernetes-key.pem", "admin.pem"]]) {
  t.test(`a replacement that was interrupted after ${placed.length} of its files is completed`, async (t) => {
    const { folder, backup } = await killedReplacing(placed);
    const undecided = join(folder, `.new-${await deadPid()}-def`);
    await mkdir(undecided);
    await writeFile(join(undecided, "ca.pem"), "never moved into place");
    const authority = await readFile(join(folder, "ca.pem"), "utf8");
    await completeFolder(folder);
    for (const name of renewed) t.equal(await readFile(join(folder, name), "utf8"), `new ${name}`);
    t.equal(await readFile(join(folder, "ca.pem"), "utf8"), authority);
    t.same(
      (await readdir(folder)).filter((name) => name.startsWith(".")),
      [],
      "no temporary file is left",
    );
    t.same((await readdir(backup)).sort(), renewed.toSorted());
  });
}

t.test("files that changed after an interrupted replacement are kept, and an error says so", async (t) => {
  const { folder, backup } = await killedReplacing(["kubernetes.pem"]);
  // Somebody has restored the previous file by hand.
  await cp(join(backup, "kubernetes.pem"), `${folder}/by-hand`);
  await rename(`${folder}/by-hand`, join(folder, "kubernetes.pem"));
  const before = await fingerprint(folder);
  const refused = {
    code: "CREDENTIAL_INVALID",
    message: /kubernetes\.pem was changed after an interrupted command started to replace it/,
  };
  await t.rejects(completeFolder(folder), refused);
  await t.rejects(create(folder), refused);
  t.same(await fingerprint(folder), before);
});

t.test("a failed replacement changes nothing, or is completed by the next run", async (t) => {
  const folder = await copy();
  const before = await fingerprint(folder);
  const now = new Date("2026-01-31T12:00:00Z");
  // The second file cannot be written, so the set of new files is incomplete and the old files are kept.
  await t.rejects(replaceFiles(folder, { "admin.pem": "new", "no/such/folder": "" }, now), { code: "IO_FAILED" });
  t.same(await fingerprint(folder), before);
  t.same(
    (await readdir(folder)).filter((name) => name.startsWith(".")),
    [],
  );

  // A folder in the place of the second file makes the replacement fail when it can no longer be undone, only
  // completed.
  const later = new Date("2026-01-31T13:00:00Z");
  await mkdir(join(folder, ".new.pem.replacing"));
  const half = replaceFiles(folder, { "admin.pem": "new", "new.pem": "new" }, later);
  await t.rejects(half, { code: "IO_FAILED", message: /not all files were replaced \(the old files are in/ });
  await rm(join(folder, ".new.pem.replacing"), { recursive: true });
  await completeFolder(folder);
  t.equal(await readFile(join(folder, "admin.pem"), "utf8"), "new");
  t.equal(await readFile(join(folder, "new.pem"), "utf8"), "new");
});
