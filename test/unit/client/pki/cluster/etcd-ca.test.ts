import { X509Certificate } from "node:crypto";
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import t, { type Test } from "tap";

import { parseConfig } from "../../../../../client/config/load.ts";
import { formatProblem } from "../../../../../client/pki/check/problem.ts";
import { examineCredentials, readCredentials } from "../../../../../client/pki/check/read.ts";
import {
  type ClusterPki,
  clusterFiles,
  createMissing,
  renewableNames,
} from "../../../../../client/pki/cluster/create.ts";
import { writeNew } from "../../../../../client/pki/cluster/folder.ts";
import { renewLeaves } from "../../../../../client/pki/cluster/renew.ts";
import { onControllers } from "../../../../../client/pki/cluster/rollable.ts";
import { reissueForNewNodes } from "../../../../../client/rollout/credentials.ts";
import { credentialSet } from "../../../../../proto/components.ts";
import { must } from "../../../../testbed/command.ts";

const controllers = [{ name: "controller-0", internalIp: "10.240.0.10" }];
const cluster = { controllers, publicAddress: "203.0.113.10", serviceCidr: "10.32.0.0/24" };
const lab: ClusterPki = {
  clusterName: "kubernetes",
  cluster,
  algorithm: "ecdsa",
  days: 365,
  caDays: 1825,
  extraNames: [],
  workers: [],
  encryptionProvider: "aescbc",
  separateSigningCa: false,
  separateEtcdCa: false,
  aggregation: false,
};
const pki = { ...lab, separateEtcdCa: true };
const now = new Date();
const leaves = ["etcd-client-key.pem", "etcd-client.pem", "etcd-server-key.pem", "etcd-server.pem"];
const complete = new Map(Object.entries(await createMissing(new Map(), pki, now)));

function configOf(folder: string, flags: Readonly<Record<string, string | true>> = {}) {
  const origin = { label: "", code: "CONFIG_INVALID", folder } as const;
  const given = new Map(Object.entries({ "--credentials": folder, ...flags }));
  return parseConfig({ kind: "empty", origin }, { flags: given, folder });
}

async function newFolder(t: Test): Promise<string> {
  const folder = t.testdir();
  await writeNew(folder, Object.fromEntries(complete));
  return folder;
}

async function findings(folder: string, flags: Readonly<Record<string, string | true>> = {}): Promise<string[]> {
  return (await examineCredentials(configOf(folder, flags), cluster)).problems.map(formatProblem);
}

t.test("if separateEtcdCa is off, the folder has only the lab's files", async (t) => {
  const files = Object.keys(await createMissing(new Map(), lab, now));
  t.strictSame(
    files.filter((name) => name.startsWith("etcd")),
    [],
  );
  t.strictSame(files.toSorted(), clusterFiles(lab).toSorted());
});

t.test("etcd's CA issues the certificates of the members and of their clients, and nothing else", async (t) => {
  t.strictSame([...complete.keys()].toSorted(), clusterFiles(pki).toSorted());
  const folder = await newFolder(t);
  for (const name of (await readdir(folder)).filter((name) => /^[a-z-]+\.pem$/.test(name) && !name.includes("-key"))) {
    const command = ["openssl", "verify", "-x509_strict", "-CAfile", join(folder, "etcd-ca.pem"), join(folder, name)];
    const ofEtcd = name.startsWith("etcd-");
    if (ofEtcd) t.match(await must(command), /: OK/, name);
    else await t.rejects(must(command), name);
  }
  const server = new X509Certificate(complete.get("etcd-server.pem") ?? "");
  t.equal(server.subjectAltName, "IP Address:10.240.0.10, IP Address:127.0.0.1");
  t.strictSame(server.keyUsage, ["1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"]);
  t.strictSame(new X509Certificate(complete.get("etcd-client.pem") ?? "").keyUsage, ["1.3.6.1.5.5.7.3.2"]);
  t.strictSame(await createMissing(complete, pki, now), {}, "a second run adds nothing");
});

t.test(
  "the files pass the check with separateEtcdCa on or off, and the nodes get all files except the CA's key",
  async (t) => {
    const folder = await newFolder(t);
    t.strictSame(await findings(folder), []);
    t.strictSame(await findings(folder, { "--separate-etcd-ca": true }), []);
    const { credentials } = await readCredentials(configOf(folder), cluster);
    t.strictSame(
      credentials.map(({ name }) => name),
      credentialSet({ etcdCa: true }),
    );
  },
);

t.test(
  "if separateEtcdCa is on but the folder has no etcd CA, the check names the commands that create the CA",
  async (t) => {
    const folder = t.testdir();
    await writeNew(folder, await createMissing(new Map(), lab, now));
    t.strictSame(await findings(folder), []);
    await t.rejects(readCredentials(configOf(folder, { "--separate-etcd-ca": true }), cluster), {
      code: "CREDENTIAL_INVALID",
      message:
        /etcd-ca\.pem: is missing \(.*pki create --separate-etcd-ca .*in a running cluster, .*pki rotate-etcd-ca/,
    });
  },
);

t.test("the check finds wrong certificates and keys among the files of etcd's CA", async (t) => {
  const folder = await newFolder(t);
  const spoil = async (name: string, other: string, expected: RegExp) => {
    const before = await readFile(join(folder, name));
    await writeFile(join(folder, name), await readFile(join(folder, other)));
    t.match((await findings(folder)).join("\n"), expected);
    await writeFile(join(folder, name), before);
  };
  await spoil(
    "etcd-client-key.pem",
    "etcd-server-key.pem",
    /^etcd-client-key\.pem: is not the key of etcd-client\.pem$/,
  );
  await spoil("etcd-server.pem", "kubernetes.pem", /^etcd-server\.pem: issuer: /m);
  await spoil("etcd-server.pem", "etcd-client.pem", /^etcd-server\.pem: (extendedKeyUsage|subjectAltName)/m);
  await spoil("etcd-ca.pem", "ca.pem", /^etcd-ca\.pem: publicKey: is the key of another CA of the cluster/m);
  await rm(join(folder, "etcd-client.pem"));
  t.match((await findings(folder)).join(), /etcd-client\.pem: is missing/);
});

t.test("etcd's certificates are renewed by etcd's CA, and keep the names of the members", async (t) => {
  t.ok(renewableNames(pki).includes("etcd-server"));
  const more = { ...pki, cluster: { ...cluster, controllers: [{ internalIp: "10.240.0.11" }] } };
  const renewed = await renewLeaves(complete, ["etcd-server", "etcd-client"], { pki: more, now });
  t.strictSame(Object.keys(renewed).toSorted(), leaves);
  t.strictSame(onControllers(renewed).toSorted(), leaves);
  const server = new X509Certificate(renewed["etcd-server.pem"] ?? "");
  t.match(server.subjectAltName, /10\.240\.0\.11.*127\.0\.0\.1.*10\.240\.0\.10/);
  t.ok(server.verify(new X509Certificate(complete.get("etcd-ca.pem") ?? "").publicKey));
  const both = await renewLeaves(complete, ["admin", "etcd-client"], { pki, now });
  t.ok(Object.hasOwn(both, "admin.kubeconfig") && Object.hasOwn(both, "etcd-client.pem"));
  const without = new Map([...complete].filter(([name]) => name !== "etcd-ca-key.pem"));
  await t.rejects(renewLeaves(without, ["etcd-client"], { pki, now }), { message: /^etcd-ca-key\.pem is missing/ });
});

t.test("a new controller's address is also added to the certificate of the etcd members", async (t) => {
  const folder = await newFolder(t);
  const addresses = {
    controllers: [...controllers, { name: "controller-1", internalIp: "10.240.0.11" }],
    publicAddress: "203.0.113.10",
  };
  t.strictSame(await reissueForNewNodes(configOf(folder), { ...addresses, controllers }), {});
  const made = await reissueForNewNodes(configOf(folder), addresses);
  t.strictSame(Object.keys(made).toSorted(), [
    "etcd-server-key.pem",
    "etcd-server.pem",
    "kubernetes-key.pem",
    "kubernetes.pem",
  ]);
  t.match(new X509Certificate(made["etcd-server.pem"] ?? "").subjectAltName, /10\.240\.0\.11/);
});
