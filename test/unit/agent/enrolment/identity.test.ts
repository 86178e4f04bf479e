import { createPrivateKey, X509Certificate } from "node:crypto";
import { mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { adoptCertificate } from "../../../../agent/enrolment/adopt.ts";
import { type IdentityPaths, nextOf, settleIdentity } from "../../../../agent/certificates/next.ts";
import { proveKey } from "../../../../agent/enrolment/request.ts";
import { checkIdentity } from "../../../../agent/certificates/identity-files.ts";
import { createAuthority, type Identity, issue, issueFor } from "../../../../client/pki/management/issue.ts";
import { readRequest } from "../../../../client/pki/management/request.ts";
import type { Role } from "../../../../proto/roles.ts";

const authority = await createAuthority(new Date());
const { certificate: ca } = authority;

async function newFolder(): Promise<IdentityPaths> {
  const folder = await mkdtemp(join(tmpdir(), "khw-identity-test-"));
  t.teardown(() => rm(folder, { recursive: true }));
  return { ca: join(folder, "ca.pem"), certificate: join(folder, "agent.pem"), key: join(folder, "agent-key.pem") };
}

interface Signing {
  readonly by?: Identity;
  readonly name?: string;
  readonly role?: Role;
  readonly now?: Date;
}

async function sign(request: string, options: Signing = {}): Promise<string> {
  const { by = authority, name = "controller-0", role = "agent", now = new Date() } = options;
  const { publicKey } = await readRequest(request);
  return issueFor(publicKey, { authority: by, request: { name, role, days: 1 }, now });
}

const names = async ({ ca }: IdentityPaths): Promise<string[]> => (await readdir(join(ca, ".."))).sort();

t.test("the node creates its own key, lets only root read it, and reuses it for a second request", async (t) => {
  const paths = await newFolder();
  const [one, another] = await Promise.all([proveKey(paths, "controller-0"), proveKey(paths, "controller-0")]);
  t.same(await names(paths), ["agent-key.pem.next"]);
  t.equal((await stat(nextOf(paths).key)).mode & 0o777, 0o600);
  const key = createPrivateKey(await readFile(nextOf(paths).key));
  for (const { request, provisional } of [one, another, await proveKey(paths, "controller-0")]) {
    t.ok(new X509Certificate(provisional).checkPrivateKey(key));
    t.ok(new X509Certificate(await sign(request)).checkPrivateKey(key));
    t.notMatch(request + provisional, /PRIVATE/);
  }
});

t.test("files left by a killed process are removed even while other processes create keys", async (t) => {
  const paths = await newFolder();
  for (const name of ["one", "two"]) await writeFile(`${nextOf(paths).key}.${name}`, "half a key");
  const proofs = await Promise.all(Array.from({ length: 6 }, () => proveKey(paths, "controller-0")));
  t.same(await names(paths), ["agent-key.pem.next"]);
  const key = createPrivateKey(await readFile(nextOf(paths).key));
  for (const { provisional } of proofs) t.ok(new X509Certificate(provisional).checkPrivateKey(key));
});

t.test(
  "the issued certificate, its key and the CA become the agent's identity, and no other file remains",
  async (t) => {
    const paths = await newFolder();
    const { request } = await proveKey(paths, "controller-0");
    await adoptCertificate(paths, { ca, certificate: await sign(request), name: "controller-0" });
    t.same(await names(paths), ["agent-key.pem", "agent.pem", "ca.pem"]);
    for (const path of Object.values(paths)) t.equal((await stat(path)).mode & 0o777, 0o600, path);
    await checkIdentity(paths);

    const before = await readFile(paths.key, "utf8");
    const renewed = await proveKey(paths, "controller-0");
    t.equal(
      await readFile(paths.key, "utf8"),
      before,
      "the current key is kept until a certificate for the next key is installed",
    );
    await adoptCertificate(paths, { ca, certificate: await sign(renewed.request) });
    t.not(await readFile(paths.key, "utf8"), before);
    await checkIdentity(paths);
  },
);

t.test("a certificate that does not match the request is refused and changes nothing", async (t) => {
  const paths = await newFolder();
  const none = adoptCertificate(paths, { ca, certificate: ca, name: "controller-0" });
  await t.rejects(none, { code: "CREDENTIAL_INVALID", message: /no key on this node is waiting/ });
  const { request } = await proveKey(paths, "controller-0");
  const stranger = await createAuthority(new Date());
  const other = await issue(authority, { name: "controller-0", role: "agent", days: 1 }, new Date());
  const day = 86_400_000;
  const unfit: readonly (readonly [string, RegExp, string?])[] = [
    [await sign(request, { by: stranger }), /is not signed by the management CA/],
    [await sign(request, { name: "controller-1" }), /is not for controller-0/],
    [await sign(request, { role: "admin" }), /is not issued for an agent/],
    [await sign(request, { now: new Date(Date.now() - 3 * day) }), /expired on/],
    [await sign(request, { now: new Date(Date.now() + 3 * day) }), /valid only from/],
    [other.certificate, /does not match this node's key/],
    ["garbage", /cannot be read/],
    [await sign(request), /is not a CA certificate/, other.certificate],
  ];
  for (const [certificate, message, wrongCa] of unfit) {
    const adopted = adoptCertificate(paths, { ca: wrongCa ?? ca, certificate, name: "controller-0" });
    await t.rejects(adopted, { code: "CREDENTIAL_INVALID", message });
    t.same(await names(paths), ["agent-key.pem.next"], String(message));
  }
});

t.test(
  "after a crash at any point, the agent has either the complete old identity or the complete new one",
  async (t) => {
    const paths = await newFolder();
    const next = nextOf(paths);
    const first = await proveKey(paths, "controller-0");
    await adoptCertificate(paths, { ca, certificate: await sign(first.request) });
    const old = await readFile(paths.certificate, "utf8");

    // If there is no new certificate, the agent keeps its current identity.
    const { request } = await proveKey(paths, "controller-0");
    await writeFile(next.ca, ca);
    await settleIdentity(paths);
    await checkIdentity(paths);
    t.equal(await readFile(paths.certificate, "utf8"), old);

    // Once the new certificate has been written, an interrupted sequence of renames is always completed.
    const certificate = await sign(request);
    for (const begun of [[], ["key"], ["key", "ca"]] as const) {
      await writeFile(next.certificate, certificate);
      for (const part of begun) await rename(next[part], paths[part]).catch(() => {});
      await settleIdentity(paths);
      await checkIdentity(paths);
      t.equal(await readFile(paths.certificate, "utf8"), certificate);
      t.same(await names(paths), ["agent-key.pem", "agent.pem", "ca.pem"]);
    }

    // A key that is created later belongs to the next certificate.
    await writeFile(next.certificate, certificate);
    await proveKey(paths, "controller-0");
    await checkIdentity(paths);
    t.same(await names(paths), ["agent-key.pem", "agent-key.pem.next", "agent.pem", "ca.pem"]);
  },
);

t.test("a certificate request whose signature does not match its public key is refused", async (t) => {
  const paths = await newFolder();
  const { request } = await proveKey(paths, "controller-0");
  const der = Buffer.from(request.replaceAll(/-----[^-]+-----|\s/g, ""), "base64");
  der.writeUInt8((der.at(-1) ?? 0) ^ 1, der.length - 1);
  const forged = `-----BEGIN CERTIFICATE REQUEST-----\n${der.toString("base64")}\n-----END CERTIFICATE REQUEST-----\n`;
  await t.rejects(readRequest(forged), { code: "CREDENTIAL_INVALID", message: /not signed with its own key/ });
  await t.rejects(readRequest("garbage"), { code: "CREDENTIAL_INVALID" });
});
