/**
 * Lab 04 creates certificates with cfssl. Tests that khw can use certificates from cfssl, and that cfssl can use
 * certificates from khw.
 */
import { cp, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import t from "tap";

import { pkiCheck } from "../../client/commands/pki-check.ts";
import { pkiCreate } from "../../client/commands/pki-create.ts";
import { parseConfig } from "../../client/config/load.ts";
import type { ClusterConfig } from "../../client/config/schema.ts";
import { parseYaml } from "../../client/config/yaml.ts";
import type { Context } from "../../client/terminal/context.ts";
import { issueByCfssl, makeByTheLabs } from "../fixtures/cfssl.ts";
import { must } from "../testbed/command.ts";

const addresses = ["10.240.0.10", "10.240.0.11", "10.240.0.12"];
const publicAddress = "203.0.113.10";
const cluster = { nodes: addresses.map((address) => ({ address })), publicAddress };
const nodes = addresses.map((internalIp, index) => `  - {name: controller-${index}, internalIp: ${internalIp}}\n`);
const yaml = `nodes:\n${nodes.join("")}cluster: {publicAddress: ${publicAddress}}\nloadBalancer: none\npki: {workers: {worker-0: []}}\n`;

const base = await mkdtemp(join(tmpdir(), "khw-cfssl-"));
t.teardown(() => rm(base, { recursive: true }));
const lab = join(base, "lab");
await makeByTheLabs(lab, cluster);

function configOf(folder: string): ClusterConfig {
  const flags = new Map([["--credentials", folder]]);
  return parseConfig(parseYaml(yaml, { name: "khw.yaml", folder: base }), { flags, folder: base });
}

function context(): Context & { readonly written: () => string } {
  let text = "";
  const write = (more: string): void => void (text += more);
  return { write, warn: write, terminal: false, env: {}, signal: new AbortController().signal, written: () => text };
}

/** Returns the findings of pki check for the folder. */
async function checked(folder: string): Promise<unknown> {
  const told = context();
  await pkiCheck(configOf(folder), told, { output: "json", folder: undefined });
  return JSON.parse(told.written()).findings;
}

async function verified(folder: string, name: string): Promise<string> {
  return must(["openssl", "verify", "-x509_strict", "-CAfile", join(folder, "ca.pem"), join(folder, `${name}.pem`)]);
}

async function copy(name: string): Promise<string> {
  const folder = join(base, name);
  await cp(lab, folder, { recursive: true });
  return folder;
}

t.test("the files that the labs' cfssl commands create pass every rule of pki check", async (t) => {
  t.same(await checked(lab), []);
});

t.test("pki create finds no missing file in a folder that cfssl has filled", async (t) => {
  const told = context();
  await pkiCreate(configOf(lab), told, { output: "text", renew: [] });
  t.equal(told.written(), `note: ${lab} has all files\n`);
});

t.test("khw issues missing certificates with cfssl's CA, and cfssl and openssl accept them", async (t) => {
  const folder = await copy("completed");
  for (const name of ["kubernetes", "kube-scheduler"]) {
    await rm(join(folder, `${name}.pem`));
    await rm(join(folder, `${name}-key.pem`));
  }
  await rm(join(folder, "kube-scheduler.kubeconfig"));
  await pkiCreate(configOf(folder), context(), { output: "text", renew: [] });
  t.same(await checked(folder), []);
  for (const name of ["kubernetes", "kube-scheduler", "admin"]) t.match(await verified(folder, name), /: OK\n$/);
  const { sans } = JSON.parse(await must(["cfssl", "certinfo", "-cert", join(folder, "kubernetes.pem")]));
  const before = JSON.parse(await must(["cfssl", "certinfo", "-cert", join(lab, "kubernetes.pem")]));
  for (const name of before.sans) t.ok(sans.includes(name), `the certificate has the lab's name ${name}`);
  const info = JSON.parse(await must(["cfssl", "certinfo", "-cert", join(folder, "kubernetes.pem")]));
  t.equal(info.authority_key_id, before.authority_key_id, "the authority key ID is the same as in cfssl's certificate");
  t.same(info.issuer, before.issuer);
});

t.test("khw renews every lab certificate with the lab's CA", async (t) => {
  const folder = await copy("renewed");
  await pkiCreate(configOf(folder), context(), { output: "text", renew: ["all"] });
  t.same(await checked(folder), []);
  t.equal(await readFile(join(folder, "ca.pem"), "utf8"), await readFile(join(lab, "ca.pem"), "utf8"));
  for (const name of ["kubernetes", "worker-0", "service-account"]) t.match(await verified(folder, name), /: OK\n$/);
});

for (const algorithm of ["rsa", "ecdsa"] as const) {
  t.test(`cfssl issues certificates with khw's CA (${algorithm}), and khw accepts them`, async (t) => {
    const folder = join(base, algorithm);
    const config = configOf(folder);
    await pkiCreate({ ...config, pki: { ...config.pki, algorithm } }, context(), { output: "text", renew: [] });
    for (const file of ["ca-config.json", "kube-proxy-csr.json", "kubernetes-csr.json"]) {
      await cp(join(lab, file), join(folder, file));
    }
    await issueByCfssl(folder, "kube-proxy");
    const names = ["10.32.0.1", ...addresses, publicAddress, "127.0.0.1", "kubernetes.default.svc"];
    await issueByCfssl(folder, "kubernetes", names.join(","));
    await rm(join(folder, "kube-proxy.kubeconfig"));
    await pkiCreate(config, context(), { output: "text", renew: [] });
    t.same(await checked(folder), []);
    for (const name of ["kubernetes", "kube-proxy", "admin"]) t.match(await verified(folder, name), /: OK\n$/);
  });
}
