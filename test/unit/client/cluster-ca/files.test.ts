/** Checks with real certificates that the files of every rotation stage work together. */
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t, { type Test } from "tap";

import { caRotationFiles, newAuthorities, signedElsewhere } from "../../../../client/cluster-ca/files.ts";
import {
  beginCaRotation,
  endCaRotation,
  readCaRotation,
  recordCaProgress,
} from "../../../../client/cluster-ca/folder.ts";
import type { Stage } from "../../../../client/cluster-ca/stage.ts";
import { parseConfig } from "../../../../client/config/load.ts";
import { formatProblem } from "../../../../client/pki/check/problem.ts";
import { examineCredentials, readCredentials } from "../../../../client/pki/check/read.ts";
import { createMissing } from "../../../../client/pki/cluster/create.ts";
import { readPresent, replaceFiles, writeNew } from "../../../../client/pki/cluster/folder.ts";
import { renewLeaves } from "../../../../client/pki/cluster/renew.ts";
import { describeRotation, refuseOtherRotation, rotationsUnderWay } from "../../../../client/rotations/under-way.ts";
import { credentialSet } from "../../../../proto/components.ts";
import { dayMillis } from "../../../../proto/time.ts";
import { must } from "../../../testbed/command.ts";

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
  extraNames: ["api.example.com"],
  workers: [{ name: "worker-0", addresses: [] }],
  separateSigningCa: false,
  separateEtcdCa: false,
  aggregation: false,
  encryptionProvider: "aescbc",
} as const;

async function newFolder(t: Test, separateSigningCa = false): Promise<string> {
  const folder = t.testdir();
  await writeNew(folder, await createMissing(new Map(), { ...pki, separateSigningCa }, new Date()));
  return folder;
}

function configOf(folder: string) {
  const origin = { label: "", code: "CONFIG_INVALID", folder } as const;
  return parseConfig({ kind: "empty", origin }, { flags: new Map([["--credentials", folder]]), folder });
}

async function findings(folder: string): Promise<string[]> {
  return (await examineCredentials(configOf(folder), cluster)).problems.map(formatProblem);
}

async function textOf(folder: string, name: string): Promise<string> {
  return readFile(join(folder, name), "utf8");
}

async function advance(folder: string, stage: Exclude<Stage, "started">): Promise<void> {
  const rotation = await readCaRotation(folder);
  if (rotation === undefined) throw new Error("no rotation");
  await replaceFiles(folder, await caRotationFiles(folder, stage, { rotation, pki, now: new Date() }), new Date());
}

/** Returns the files that the nodes get. */
async function sent(folder: string): Promise<Map<string, string>> {
  const { credentials } = await readCredentials(configOf(folder), cluster);
  return new Map(credentials.map(({ name, content }) => [name, Buffer.from(content ?? "").toString("utf8")]));
}

for (const separate of [false, true]) {
  t.test(`the files of every rotation stage are valid, ${separate ? "with" : "without"} a signing CA`, async (t) => {
    const folder = await newFolder(t, separate);
    const before = await textOf(folder, "kubernetes.pem");
    const tokens = await textOf(folder, "service-account-key.pem");
    const former = await textOf(folder, "ca.pem");
    await beginCaRotation(folder, await newAuthorities(folder, pki, new Date()));
    t.match(await readCaRotation(folder), { stage: "started", progress: {} });
    t.strictSame(
      [...(await sent(folder)).keys()],
      credentialSet({ signing: separate }),
      "the nodes get the same files as before the rotation",
    );

    await advance(folder, "trusted");
    t.match(await readCaRotation(folder), { stage: "trusted" });
    t.strictSame(await findings(folder), []);
    t.equal(await textOf(folder, "kubernetes.pem"), before, "kubernetes.pem is unchanged");
    const trusted = await sent(folder);
    t.strictSame(
      [...trusted.keys()],
      credentialSet({ signing: true }),
      "the nodes get a separate signing CA for the controller manager",
    );
    t.equal(trusted.get("ca.pem")?.match(/-----BEGIN/g)?.length, 2);
    t.equal(trusted.get("signing-ca.pem")?.match(/-----BEGIN/g)?.length, 1);
    if (!separate) {
      t.equal(trusted.get("signing-ca.pem")?.trim(), former.trim(), "the old CA signs");
      t.equal(trusted.get("ca-bundle.pem")?.match(/-----BEGIN/g)?.length, 2);
    }
    const names = ["kubernetes"];
    const present = await readPresent(
      folder,
      await readdir(folder).then((all) => all.filter((name) => name.endsWith("pem"))),
    );
    const renewed = await renewLeaves(present, names, { pki, now: new Date() });
    await verifies(t, former, renewed["kubernetes.pem"] ?? "", "pki renew signs with the old CA");

    await advance(folder, "reissued");
    t.match(await readCaRotation(folder), { stage: "reissued" });
    t.strictSame(await findings(folder), []);
    t.strictSame(await signedElsewhere(folder, { certificate: former, key: "" }), []);
    const reissued = await sent(folder);
    const { next } = (await readCaRotation(folder)) ?? { next: undefined };
    if (!separate) t.equal(reissued.get("signing-ca.pem")?.trim(), next?.certificate.trim(), "the new CA signs");
    t.equal(await textOf(folder, "service-account-key.pem"), tokens, "the service account key is unchanged");
    for (const name of ["kubernetes", "admin", "kube-scheduler", "worker-0", "service-account"])
      await verifies(t, next?.certificate ?? "", await textOf(folder, `${name}.pem`), name);
    t.match(
      await must(["openssl", "x509", "-noout", "-text", "-in", join(folder, "kubernetes.pem")]),
      "api.example.com",
    );

    await advance(folder, "dropped");
    t.match(await readCaRotation(folder), { stage: "dropped" });
    t.strictSame(await findings(folder), []);
    t.strictSame(
      [...(await sent(folder)).keys()],
      credentialSet({ signing: separate }),
      "the nodes get the usual files again",
    );
    t.equal(await textOf(folder, "ca.pem"), next?.certificate);
    const kept = await endCaRotation(folder, new Date());
    t.strictSame((await readdir(kept)).toSorted(), ["old-ca-key.pem", "old-ca.pem", "progress.json"]);
    t.equal(await readCaRotation(folder), undefined);
    t.strictSame(await findings(folder), []);
  });
}

t.test("if the old CA expires after the certificates have been reissued, khw only warns", async (t) => {
  const folder = t.testdir();
  const past = new Date(Date.now() - 41 * dayMillis);
  await writeNew(folder, await createMissing(new Map(), { ...pki, caDays: 40, days: 20 }, past));
  await beginCaRotation(folder, await newAuthorities(folder, pki, past));
  await advance(folder, "trusted");
  t.match((await findings(folder)).join("\n"), /^ca\.pem: notAfter: expired/m);
  await t.rejects(sent(folder), { code: "CREDENTIAL_INVALID" }, "an expired CA cannot sign");

  await advance(folder, "reissued");
  const { problems } = await examineCredentials(configOf(folder), cluster);
  const own = problems.filter(({ file }) => file === "ca.pem");
  t.match(own, [{ field: "notAfter", what: /^expired on /, severity: "warning", remedy: /khw-client pki rotate-ca$/ }]);
  t.equal(own.length, 1);
  t.strictSame(
    problems.filter(({ severity }) => severity === undefined),
    [],
  );
  t.strictSame(
    [...(await sent(folder)).keys()],
    credentialSet({ signing: true }),
    "the files can still be sent to the nodes",
  );
  await advance(folder, "reissued");
  await advance(folder, "dropped");
  t.strictSame(await findings(folder), []);
});

async function verifies(t: Test, ca: string, certificate: string, message: string): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "khw-verify-"));
  t.teardown(() => rm(folder, { recursive: true }));
  await writeFile(join(folder, "ca.pem"), ca);
  await writeFile(join(folder, "leaf.pem"), certificate);
  const output = await must([
    "openssl",
    "verify",
    "-x509_strict",
    "-CAfile",
    join(folder, "ca.pem"),
    join(folder, "leaf.pem"),
  ]);
  t.match(output, /: OK/, message);
}

t.test("every kubeconfig embeds both CAs, and keeps its server and its comments", async (t) => {
  const folder = await newFolder(t);
  const admin = await textOf(folder, "admin.kubeconfig");
  await writeFile(join(folder, "admin.kubeconfig"), `# mine\n${admin.replace("127.0.0.1", "10.240.0.10")}`);
  await beginCaRotation(folder, await newAuthorities(folder, pki, new Date()));
  await advance(folder, "trusted");
  const ca = await textOf(folder, "ca.pem");
  for (const name of ["admin", "kube-controller-manager", "kube-scheduler", "kube-proxy", "worker-0"]) {
    const text = await textOf(folder, `${name}.kubeconfig`);
    const data = /certificate-authority-data: (\S+)/.exec(text)?.[1] ?? "";
    t.equal(Buffer.from(data, "base64").toString("utf8"), ca, name);
  }
  t.match(await textOf(folder, "admin.kubeconfig"), /^# mine\n[^]*server: https:\/\/10\.240\.0\.10:6443/);
});

t.test("if no rotation is in progress, two certificates in ca.pem are still refused", async (t) => {
  const folder = await newFolder(t);
  await beginCaRotation(folder, await newAuthorities(folder, pki, new Date()));
  await advance(folder, "trusted");
  await rm(join(folder, "rotation-ca"), { recursive: true });
  t.match(await findings(folder), [/^ca\.pem: has 2 certificates/]);
});

t.test("a certificate that khw does not issue is listed", async (t) => {
  const folder = await newFolder(t);
  await writeFile(join(folder, "someone.pem"), await textOf(folder, "admin.pem"));
  const authorities = await newAuthorities(folder, pki, new Date());
  await beginCaRotation(folder, authorities);
  await advance(folder, "trusted");
  await advance(folder, "reissued");
  t.strictSame(await signedElsewhere(folder, authorities.old), ["someone.pem"]);
});

t.test("a rotation in progress is shown, and a second rotation is refused", async (t) => {
  const folder = await newFolder(t);
  const folders = { credentials: folder, management: join(folder, "khw-pki") };
  await beginCaRotation(folder, await newAuthorities(folder, pki, new Date()));
  await t.rejects(beginCaRotation(folder, await newAuthorities(folder, pki, new Date())), { code: "BUSY" });
  t.match(await rotationsUnderWay(folders), [{ rotation: "cluster-ca", stage: "started" }]);
  await advance(folder, "trusted");
  t.match(await rotationsUnderWay(folders), [{ stage: "trusted" }]);
  await recordCaProgress(folder, { trustedSince: "2026-01-31T12:00:00.000Z" });
  const [shown] = await rotationsUnderWay(folders);
  t.equal(shown?.stage, "waiting-for-reissue");
  t.match(shown && describeRotation(shown), /waiting for --reissue\. Continue with khw-client pki rotate-ca$/);
  await t.rejects(refuseOtherRotation(folders, "encryption-key"), { code: "BUSY", message: /cluster-ca/ });
  await t.resolves(refuseOtherRotation(folders, "cluster-ca"));
  await writeFile(join(folder, "ca.pem"), await textOf(folder, "admin.pem"));
  t.match(await rotationsUnderWay(folders), [{ stage: "unreadable", what: /neither the old nor the new CA/ }]);
});

t.test("a rotation does not start without the CA's key", async (t) => {
  const folder = await newFolder(t);
  await rm(join(folder, "ca-key.pem"));
  await t.rejects(newAuthorities(folder, pki, new Date()), {
    code: "CREDENTIAL_INVALID",
    message: /ca-key.pem is missing/,
  });
});
