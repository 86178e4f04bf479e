/**
 * Checks with real certificates that the files of every rotation stage work together. Covers the etcd CA and the
 * Kubernetes CA.
 */
import { X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import t, { type Test } from "tap";

import { describeSigningTrust } from "../../../../client/cluster-ca/describe.ts";
import { etcdRotationFiles, newEtcdAuthorities } from "../../../../client/cluster-ca/etcd-files.ts";
import { beginCaRotation, endCaRotation, readCaRotation } from "../../../../client/cluster-ca/folder.ts";
import { type CaKind, serversOf } from "../../../../client/cluster-ca/kinds.ts";
import { rotateCa } from "../../../../client/cluster-ca/rotate.ts";
import { newSigningAuthorities } from "../../../../client/cluster-ca/signing-files.ts";
import { authorityFiles, type Stage } from "../../../../client/cluster-ca/stage.ts";
import { refuseUnsuitable } from "../../../../client/cluster-ca/unsuitable.ts";
import { parseConfig } from "../../../../client/config/load.ts";
import { formatProblem } from "../../../../client/pki/check/problem.ts";
import { examineCredentials, readCredentials } from "../../../../client/pki/check/read.ts";
import { createMissing } from "../../../../client/pki/cluster/create.ts";
import { readPresent, replaceFiles, writeNew } from "../../../../client/pki/cluster/folder.ts";
import { createClusterAuthority } from "../../../../client/pki/cluster/issue.ts";
import { renewLeaves } from "../../../../client/pki/cluster/renew.ts";
import { refuseOtherRotation, rotationsUnderWay } from "../../../../client/rotations/under-way.ts";
import { credentialSet } from "../../../../proto/components.ts";
import { caCluster } from "../../../fakes/ca-cluster.ts";

const cluster = {
  controllers: [{ name: "controller-0", internalIp: "10.240.0.10" }],
  publicAddress: "203.0.113.10",
  serviceCidr: "10.32.0.0/24",
};
const pki = {
  clusterName: "kubernetes",
  cluster,
  algorithm: "ecdsa",
  days: 100,
  caDays: 1000,
  extraNames: [],
  workers: [],
  separateSigningCa: false,
  separateEtcdCa: false,
  aggregation: false,
  encryptionProvider: "aescbc",
} as const;
const etcdFiles = ["etcd-ca.pem", "etcd-ca-key.pem", "etcd-server.pem", "etcd-client.pem", "etcd-client-key.pem"];

async function newFolder(t: Test, parts: { separateSigningCa?: boolean; separateEtcdCa?: boolean }): Promise<string> {
  const folder = t.testdir();
  await writeNew(folder, await createMissing(new Map(), { ...pki, ...parts }, new Date()));
  return folder;
}

function configOf(folder: string, flags: readonly (readonly [string, string | Record<string, string>])[] = []) {
  const origin = { label: "", code: "CONFIG_INVALID", folder } as const;
  const given = new Map<string, string | Record<string, string>>([["--credentials", folder], ...flags]);
  return parseConfig({ kind: "empty", origin }, { flags: given, folder });
}

async function findings(folder: string): Promise<string[]> {
  return (await examineCredentials(configOf(folder), cluster)).problems.map(formatProblem);
}

const textOf = async (folder: string, name: string) => readFile(join(folder, name), "utf8");

/** Returns the files that the nodes get. */
async function sent(folder: string): Promise<Map<string, string>> {
  const { credentials } = await readCredentials(configOf(folder), cluster);
  return new Map(credentials.map(({ name, content }) => [name, Buffer.from(content ?? "").toString("utf8")]));
}

async function advance(folder: string, kind: CaKind, stage: Exclude<Stage, "started">): Promise<void> {
  const rotation = await readCaRotation(folder, kind);
  if (rotation === undefined) throw new Error("no rotation");
  const files =
    kind === "etcd-ca"
      ? await etcdRotationFiles(folder, stage, { rotation, pki, now: new Date() })
      : authorityFiles("signing-ca", stage, rotation);
  await replaceFiles(folder, files, new Date());
  t.match(await readCaRotation(folder, kind), { stage });
  t.strictSame(await findings(folder), [], `${kind} ${stage}`);
}

function isSignedBy(pem: string | undefined, ca: string | undefined): boolean {
  return new X509Certificate(pem ?? "").verify(new X509Certificate(ca ?? "").publicKey);
}

const namesIn = (pem: string | undefined) => new X509Certificate(pem ?? "").subjectAltName?.split(", ") ?? [];

const countOf = (pem: string | undefined) => pem?.match(/-----BEGIN CERTIFICATE/g)?.length;

for (const from of ["the cluster's CA", "its own CA"] as const) {
  t.test(`etcd moves from ${from} to a new CA in stages`, async (t) => {
    const isFirst = from === "the cluster's CA";
    const folder = await newFolder(t, { separateEtcdCa: !isFirst });
    const former = await textOf(folder, isFirst ? "ca.pem" : "etcd-ca.pem");
    const before = await sent(folder);
    await beginCaRotation(folder, await newEtcdAuthorities(folder, pki, new Date()), "etcd-ca");
    t.match(await readCaRotation(folder, "etcd-ca"), { stage: "started" });
    t.strictSame(await sent(folder), before, "nothing has changed yet");
    const next = (await readCaRotation(folder, "etcd-ca"))?.next.certificate;

    await advance(folder, "etcd-ca", "trusted");
    const trusted = await sent(folder);
    t.strictSame([...trusted.keys()], credentialSet({ etcdCa: true }));
    t.equal(countOf(trusted.get("etcd-ca.pem")), 2);
    for (const name of ["etcd-server.pem", "etcd-client.pem"])
      t.ok(isSignedBy(trusted.get(name), former), `${name} is still signed by the old CA`);
    if (!isFirst) t.equal(trusted.get("etcd-client.pem"), before.get("etcd-client.pem"));
    const served = namesIn(before.get(isFirst ? "kubernetes.pem" : "etcd-server.pem"));
    const named = namesIn(trusted.get("etcd-server.pem"));
    t.strictSame(
      served.filter((name) => !named.includes(name)),
      [],
      "the new certificates still contain every name that clients used to reach the members",
    );
    const renewed = await renewLeaves(await readPresent(folder, etcdFiles), ["etcd-client"], { pki, now: new Date() });
    t.ok(isSignedBy(renewed["etcd-client.pem"], former), "pki renew signs with the old CA");

    await advance(folder, "etcd-ca", "reissued");
    const reissued = await sent(folder);
    t.equal(countOf(reissued.get("etcd-ca.pem")), 2);
    for (const name of ["etcd-server.pem", "etcd-client.pem"]) t.ok(isSignedBy(reissued.get(name), next), name);
    t.not(reissued.get("etcd-client-key.pem"), trusted.get("etcd-client-key.pem"));

    await advance(folder, "etcd-ca", "dropped");
    const dropped = await sent(folder);
    t.equal(dropped.get("etcd-ca.pem"), next);
    t.equal(dropped.get("etcd-server.pem"), reissued.get("etcd-server.pem"));
    for (const [name, content] of before)
      if (!name.startsWith("etcd-")) t.equal(dropped.get(name), content, `${name} is unchanged`);
    await endCaRotation(folder, new Date(), "etcd-ca");
    t.strictSame(await findings(folder), []);
    t.equal(await readCaRotation(folder, "etcd-ca"), undefined);
  });
}

t.test(
  "the signing CA is replaced in stages, and the controller manager always gets a single CA certificate",
  async (t) => {
    const folder = await newFolder(t, { separateSigningCa: true });
    const [ca, former] = [await textOf(folder, "ca.pem"), await textOf(folder, "signing-ca.pem")];
    await beginCaRotation(folder, await newSigningAuthorities(folder, pki, new Date()), "signing-ca");
    const next = (await readCaRotation(folder, "signing-ca"))?.next.certificate ?? "";
    t.equal((await sent(folder)).get("ca-bundle.pem"), ca + former);

    await advance(folder, "signing-ca", "trusted");
    const trusted = await sent(folder);
    t.equal(trusted.get("signing-ca.pem")?.trim(), former.trim());
    t.equal(countOf(trusted.get("ca-bundle.pem")), 3);

    await advance(folder, "signing-ca", "reissued");
    const reissued = await sent(folder);
    t.equal(reissued.get("signing-ca.pem")?.trim(), next.trim());
    t.not(reissued.get("signing-ca-key.pem"), trusted.get("signing-ca-key.pem"));
    t.equal(countOf(reissued.get("ca-bundle.pem")), 3, "certificates from the old CA are still valid");

    await advance(folder, "signing-ca", "dropped");
    t.equal((await sent(folder)).get("ca-bundle.pem"), ca + next);
    await endCaRotation(folder, new Date(), "signing-ca");
    t.strictSame(await findings(folder), []);
  },
);

t.test("after the rotation has ended, a file that contains both CAs is refused", async (t) => {
  const folder = await newFolder(t, { separateSigningCa: true });
  await beginCaRotation(folder, await newSigningAuthorities(folder, pki, new Date()), "signing-ca");
  await advance(folder, "signing-ca", "trusted");
  await endCaRotation(folder, new Date(), "signing-ca");
  t.match(await findings(folder), [/^signing-ca\.pem: has 2 certificates/]);
  const other = await newFolder(t, {});
  await beginCaRotation(other, await newEtcdAuthorities(other, pki, new Date()), "etcd-ca");
  await advance(other, "etcd-ca", "trusted");
  await endCaRotation(other, new Date(), "etcd-ca");
  t.match(await findings(other), [/^etcd-ca\.pem: publicKey: is the key of another CA of the cluster/]);
});

t.test("a rotation that cannot work is refused, and the error states the reason", async (t) => {
  const folder = await newFolder(t, {});
  await t.rejects(newSigningAuthorities(folder, pki, new Date()), {
    code: "INVALID_ARGUMENT",
    message: /has no signing-ca\.pem/,
    hint: /pki rotate-ca$/,
  });
  const external = configOf(folder, [["--etcd", "external"]]);
  t.throws(() => refuseUnsuitable(external, "etcd-ca"), { message: /khw does not manage etcd/ });
  t.doesNotThrow(() => refuseUnsuitable(external, "signing-ca"));
  const flagged = configOf(folder, [["--kube-apiserver-flag", { "etcd-certfile": "/etc/x.pem" }]]);
  t.throws(() => refuseUnsuitable(flagged, "etcd-ca"), {
    message: /^kubernetes\.flags\.kube-apiserver\.etcd-certfile/,
  });
  t.doesNotThrow(() => refuseUnsuitable(flagged, "cluster-ca"));
});

t.test("a rotation in progress is shown with its own command, and no other rotation can start", async (t) => {
  const folder = await newFolder(t, { separateSigningCa: true });
  const folders = { credentials: folder, management: join(folder, "khw-pki") };
  await beginCaRotation(folder, await newEtcdAuthorities(folder, pki, new Date()), "etcd-ca");
  t.match(await rotationsUnderWay(folders), [
    { rotation: "etcd-ca", stage: "started", command: "khw-client pki rotate-etcd-ca" },
  ]);
  await t.rejects(refuseOtherRotation(folders, "signing-ca"), { code: "BUSY", message: /etcd-ca/ });
  await t.resolves(refuseOtherRotation(folders, "etcd-ca"));
});

t.test("a rotation is tested on the servers whose clients have certificates from the rotated CA", async (t) => {
  t.strictSame(serversOf("cluster-ca", false), ["kube-apiserver", "etcd", "etcd-peer"]);
  t.strictSame(serversOf("cluster-ca", true), ["kube-apiserver"], "etcd does not trust the cluster's CA");
  t.strictSame(serversOf("etcd-ca", true), ["etcd", "etcd-peer"]);
  t.strictSame(serversOf("signing-ca", false), ["kube-apiserver"]);
});

t.test("a webhook that trusts only the old signing CA is reported by name", async (t) => {
  const objects = [
    { name: "ValidatingWebhookConfiguration policy", hasNew: false },
    { name: "APIService v1.example.com", hasNew: true },
  ];
  t.match(describeSigningTrust({ objects }), [
    /every program that verifies certificates from the signing CA/,
    /^ValidatingWebhookConfiguration policy has only the old CA: add the new CA$/,
  ]);
  t.equal(describeSigningTrust({ objects }).length, 2);
});

t.test(
  "the signing CA's rotation pauses before the new CA starts to sign, and before the old CA is dropped",
  async (t) => {
    const create = () => createClusterAuthority("signing", { algorithm: "ecdsa", days: 100 }, new Date());
    const [old, next] = [await create(), await create()];
    const simulated = caCluster({ old, next });
    simulated.client = { ca: old.certificate + next.certificate, issuer: old.certificate };
    const run = (reissue: boolean, dropOld: boolean) => {
      const parts = { ...simulated.parts(), kind: "signing-ca" } as const;
      return rotateCa(parts, { reissue, dropOld });
    };
    t.equal(await run(false, false), false);
    t.match(simulated.notes.at(-1), /run this command again with --reissue$/);
    t.equal(simulated.files.issuer, old.certificate, "the old CA still signs");
    t.equal(await run(true, false), false);
    t.match(simulated.notes.at(-1), /run this command again with --drop-old$/);
    simulated.client = { ...simulated.client, issuer: next.certificate };
    t.equal(await run(false, true), true);
    t.match(simulated.notes.at(-1), /^done: every API server refuses/);
  },
);
