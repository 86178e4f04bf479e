import { execFile } from "node:child_process";
import { once } from "node:events";
import { X509Certificate } from "node:crypto";
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, createServer } from "node:tls";
import { promisify } from "node:util";
import t from "tap";
import { pkiInit, pkiIssue } from "../../../../../client/commands/pki.ts";
import { createAuthority, issue } from "../../../../../client/pki/management/issue.ts";
import type { Identity } from "../../../../../client/pki/management/issue.ts";
import type { Context } from "../../../../../client/terminal/context.ts";
import { parseRole, roleOf } from "../../../../../proto/roles.ts";

const run = promisify(execFile);
const openssl = async (...argv: string[]): Promise<string> => (await run("openssl", argv)).stdout;

const base = await mkdtemp(join(tmpdir(), "khw-pki-test-"));
t.teardown(() => rm(base, { recursive: true }));

function context(): Context & { readonly written: () => string } {
  let text = "";
  const write = (more: string): void => void (text += more);
  return { write, warn: write, terminal: false, env: {}, signal: AbortSignal.abort(), written: () => text };
}

const folder = join(base, "made", "khw-pki");
const initialized = context();
await pkiInit(initialized, { folder });

t.test("pki init creates the CA and an administrator's identity, readable by the owner only", async (t) => {
  t.same((await readdir(folder)).sort(), ["admin-key.pem", "admin.pem", "ca-key.pem", "ca.pem"]);
  t.equal((await stat(folder)).mode & 0o777, 0o700);
  for (const name of await readdir(folder)) t.equal((await stat(join(folder, name))).mode & 0o777, 0o600, name);
  t.match(initialized.written(), /ca\.pem: CN=khw management CA, O=khw, valid until \d{4}-\d\d-\d\d\n/);
  t.match(initialized.written(), /admin\.pem: CN=admin, O=khw:admin, valid until \d{4}-\d\d-\d\d\n/);
  t.notMatch(initialized.written(), /PRIVATE KEY/);
});

t.test("openssl confirms the intended values in the certificates", async (t) => {
  await pkiIssue(context(), { folder, names: ["controller-0", "controller-1"], role: "agent" });
  await pkiIssue(context(), { folder, names: ["alice@example.com"], role: "viewer", days: 7 });

  const text = async (name: string): Promise<string> => openssl("x509", "-in", join(folder, name), "-noout", "-text");
  const ca = await text("ca.pem");
  t.match(ca, /CA:TRUE, pathlen:0/);
  t.match(ca, /Key Usage: critical\s+Certificate Sign, CRL Sign\n/);
  t.match(ca, /NIST CURVE: P-256/);

  const agent = await text("controller-0.pem");
  t.match(agent, /Subject: CN = controller-0, O = khw:agent\n/);
  t.match(agent, /Extended Key Usage: \n\s+TLS Web Server Authentication\n/);
  t.match(agent, /Subject Alternative Name: \n\s+DNS:controller-0\n/);
  t.match(agent, /Basic Constraints: critical\n\s+CA:FALSE/);

  const viewer = await text("alice@example.com.pem");
  t.match(viewer, /Subject: CN = alice@example.com, O = khw:viewer\n/);
  t.match(viewer, /Extended Key Usage: \n\s+TLS Web Client Authentication\n/);
  t.notMatch(viewer, /Subject Alternative Name/);

  for (const name of ["admin", "controller-0", "controller-1", "alice@example.com"]) {
    const argv = ["-x509_strict", "-CAfile", join(folder, "ca.pem"), join(folder, `${name}.pem`)];
    t.match(await openssl("verify", ...argv), /: OK\n$/, name);
    const fromKey = await openssl("pkey", "-in", join(folder, `${name}-key.pem`), "-pubout");
    t.equal(await openssl("x509", "-in", join(folder, `${name}.pem`), "-noout", "-pubkey"), fromKey, name);
  }
});

t.test(
  "the CA is valid for ten years, and other certificates for one year by default, but never longer than the CA",
  async (t) => {
    const days = async (name: string): Promise<number> => {
      const { validToDate } = new X509Certificate(await readFile(join(folder, name)));
      return Math.round((validToDate.getTime() - Date.now()) / 86_400_000);
    };
    t.equal(await days("ca.pem"), 3650);
    t.equal(await days("admin.pem"), 365);
    t.equal(await days("alice@example.com.pem"), 7);
    for (const days of [0, -1, 1.5, Number.NaN, 3651]) {
      const refused = pkiIssue(context(), { folder, names: ["late"], role: "admin", days });
      await t.rejects(refused, { code: "INVALID_ARGUMENT", message: /--days/ });
    }
    const now = Date.now();
    const old = await createAuthority(new Date(now - 3600 * 86_400_000));
    const beyond = issue(old, { name: "late", role: "admin", days: 365 }, new Date(now));
    await t.rejects(beyond, { code: "INVALID_ARGUMENT", message: /longer than the remaining validity of the CA/ });
  },
);

t.test(
  "no file is overwritten, and certificates for several names are created all together or not at all",
  async (t) => {
    const before = await readdir(folder);
    const ca = await readFile(join(folder, "ca.pem"), "utf8");
    await t.rejects(pkiInit(context(), { folder }), {
      code: "INVALID_ARGUMENT",
      message: /ca-key\.pem already exists/,
    });
    const again = pkiIssue(context(), { folder, names: ["controller-2", "controller-1"], role: "agent" });
    await t.rejects(again, { code: "INVALID_ARGUMENT", message: /controller-1-key\.pem already exists/ });
    t.same(await readdir(folder), before, "the refused request leaves no new file");
    t.equal(await readFile(join(folder, "ca.pem"), "utf8"), ca);
    const posing = pkiIssue(context(), { folder, names: ["ca"], role: "admin" });
    await t.rejects(posing, { code: "INVALID_ARGUMENT", message: /ca-key\.pem already exists/ });
  },
);

t.test("invalid names and roles are refused", async (t) => {
  for (const name of ["../x", "", ".hidden", "a/b", "a b", "x".repeat(65), "-n", "a\nb"]) {
    await t.rejects(pkiIssue(context(), { folder, names: [name], role: "admin" }), { code: "INVALID_ARGUMENT" }, name);
  }
  for (const name of ["Controller", "alice@example.com", "0-controller"]) {
    await t.rejects(pkiIssue(context(), { folder, names: [name], role: "agent" }), { code: "INVALID_ARGUMENT" }, name);
  }
  await t.rejects(pkiIssue(context(), { folder, names: ["bob"], role: "root" }), { message: /"root" is not a role/ });
  await t.rejects(pkiIssue(context(), { folder, names: [], role: "admin" }), { message: /no name given/ });
});

t.test("a folder with a missing or mismatched CA file is refused, and the error names the file", async (t) => {
  const bare = join(base, "bare");
  const asked = { folder: bare, names: ["x"], role: "admin" };
  await t.rejects(pkiIssue(context(), asked), { code: "CREDENTIAL_INVALID", message: /bare\/ca\.pem: is missing/ });
  await pkiInit(context(), { folder: bare });
  await chmod(join(bare, "ca-key.pem"), 0o600);
  await writeFile(join(bare, "ca-key.pem"), await readFile(join(folder, "ca-key.pem")));
  await t.rejects(pkiIssue(context(), asked), {
    code: "CREDENTIAL_INVALID",
    message: /ca-key\.pem is not the key of ca\.pem/,
  });
  await writeFile(join(bare, "ca-key.pem"), "garbage");
  await t.rejects(pkiIssue(context(), asked), {
    code: "CREDENTIAL_INVALID",
    message: /ca-key\.pem is not the key of ca\.pem/,
  });
});

t.test("a certificate's role must be exactly one Organization that khw defines", async (t) => {
  t.equal(roleOf("khw:admin"), "admin");
  t.equal(roleOf("khw:viewer"), "viewer");
  t.equal(roleOf("khw:agent"), "agent");
  for (const none of [undefined, "", "khw:root", "system:masters", "constructor", ["khw:admin", "khw:viewer"]]) {
    t.equal(roleOf(none), undefined);
  }
  t.equal(parseRole("--role", "viewer"), "viewer");
});

/**
 * Performs a TLS 1.3 handshake on loopback. Returns the client's name, or the reason why one side rejects the
 * connection.
 */
async function handshake(ca: string, server: Identity, client: Identity): Promise<string> {
  // The server accepts every client, so that it can report the reason. If Node itself rejected a client, Node would
  // reset the connection.
  const asks = { requestCert: true, rejectUnauthorized: false };
  const listener = createServer({ ca, cert: server.certificate, key: server.key, ...asks });
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  const address = listener.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const identity = { ca, cert: client.certificate, key: client.key };
  const socket = connect({ host: "127.0.0.1", port, servername: "controller-0", minVersion: "TLSv1.3", ...identity });
  try {
    return await new Promise<string>((resolve) => {
      socket.on("error", (error: NodeJS.ErrnoException) => resolve(`client: ${error.code}`));
      listener.on("secureConnection", (peer) => {
        const { subject } = peer.getPeerCertificate();
        const verdict = `${String(subject.CN)} is ${roleOf(subject.O)} over ${peer.getProtocol()}`;
        resolve(peer.authorized ? verdict : `server: ${String(peer.authorizationError)}`);
        peer.destroy();
      });
    });
  } finally {
    socket.destroy();
    listener.close();
  }
}

t.test("agents are accepted only as TLS 1.3 servers, and people only as TLS 1.3 clients", async (t) => {
  const now = new Date();
  const authority = await createAuthority(now);
  const ca = authority.certificate;
  const agent = await issue(authority, { name: "controller-0", role: "agent", days: 1 }, now);
  const neighbour = await issue(authority, { name: "controller-1", role: "agent", days: 1 }, now);
  const admin = await issue(authority, { name: "alice", role: "admin", days: 1 }, now);

  t.equal(await handshake(ca, agent, admin), "alice is admin over TLSv1.3");
  t.equal(
    await handshake(ca, agent, neighbour),
    "server: INVALID_PURPOSE",
    "an agent's certificate is not accepted as a client certificate",
  );
  t.equal(
    await handshake(ca, admin, admin),
    "client: INVALID_PURPOSE",
    "a person's certificate is not accepted as a server certificate",
  );
  t.equal(await handshake(ca, neighbour, admin), "client: ERR_TLS_CERT_ALTNAME_INVALID");

  const stranger = await createAuthority(now);
  const impostor = await issue(stranger, { name: "alice", role: "admin", days: 1 }, now);
  t.equal(await handshake(ca, agent, impostor), "server: UNABLE_TO_VERIFY_LEAF_SIGNATURE");
  const expired = await issue(authority, { name: "alice", role: "admin", days: 1 }, new Date(now.getTime() - 2e8));
  t.equal(await handshake(ca, agent, expired), "server: CERT_HAS_EXPIRED");
});
