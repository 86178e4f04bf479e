/**
 * Sends certificates to the agent and the client over real TLS. These certificates crash Node's own
 * getPeerCertificate().
 */
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, createServer } from "node:tls";
import t from "tap";
import { adoptCertificate } from "../../agent/enrolment/adopt.ts";
import { proveKey } from "../../agent/enrolment/request.ts";
import { connectEnrolment } from "../../client/enrolment/connect.ts";
import { probeCertificate } from "../../client/enrolment/probe.ts";
import { whyNew } from "../../client/install/identity.ts";
import { guardPeerCertificates } from "../../proto/peer-certificate.ts";
import { clientOf, failure, open } from "../fixtures/agent-calls.ts";
import { portOf } from "../fixtures/port-of.ts";
import { must, run } from "../testbed/command.ts";

const folder = await mkdtemp(join(tmpdir(), "khw-peer-"));
t.teardown(() => rm(folder, { recursive: true }));
const path = (name: string) => join(folder, name);

/** Creates NAME.pem and NAME-key.pem. The certificate is signed by an authority in the folder, or by its own key. */
async function make(name: string, { key, subject, by }: { key: string[]; subject: string; by?: string }) {
  await must(["openssl", ...key, "-out", path(`${name}-key.pem`)]);
  await writeFile(path("extensions"), "subjectAltName=DNS:controller-0,IP:127.0.0.1\n");
  const request = await must(["openssl", "req", "-new", "-key", path(`${name}-key.pem`), "-subj", subject]);
  const signer =
    by === undefined
      ? ["-signkey", path(`${name}-key.pem`)]
      : ["-CA", path(`${by}.pem`), "-CAkey", path(`${by}-key.pem`), "-CAcreateserial"];
  const argv = ["openssl", "x509", "-req", ...signer, "-days", "2", "-extfile", path("extensions")];
  const certificate = await must(argv, { input: request });
  await writeFile(path(`${name}.pem`), certificate);
  return { certificate, key: await readFile(path(`${name}-key.pem`), "utf8") };
}

const brainpool = ["ecparam", "-name", "brainpoolP256r1", "-genkey", "-noout"];
const rsa = ["genpkey", "-algorithm", "rsa"];

t.test("without the guard, Node.js still crashes on brainpool certificates", async (t) => {
  await make("crash", { key: brainpool, subject: "/CN=crash" });
  const program = `new (require("crypto").X509Certificate)(require("fs").readFileSync(process.argv[1])).toLegacyObject()`;
  const { code } = await run([process.execPath, "-e", program, path("crash.pem")]);
  t.equal(code, 128 + 11);
});

t.test("an agent enforces the role of a caller with a brainpool key and keeps running", async (t) => {
  guardPeerCertificates();
  const { agent } = await open(t);
  await writeFile(path("management.pem"), agent.authority.certificate);
  await writeFile(path("management-key.pem"), agent.authority.key);
  const refused = async (key: string[], subject: string): Promise<string | undefined> => {
    const client = clientOf(agent, await make("caller", { key, subject, by: "management" }));
    t.teardown(() => client.close());
    return (await failure((done) => client.setMaintenance({ drained: true }, done))).khw?.message;
  };
  t.equal(await refused(brainpool, "/CN=bob/O=khw:viewer"), "bob (role viewer) is not allowed to call SetMaintenance");
  t.equal(
    await refused(rsa, "/CN=eve/O=khw:admin/O=khw:viewer"),
    "eve (role none) is not allowed to call SetMaintenance",
  );
  t.equal(
    await refused(rsa, "/CN=a, b = c/O=khw:viewer"),
    "a, b = c (role viewer) is not allowed to call SetMaintenance",
  );
});

t.test("an agent refuses a brainpool certificate that does not match its key and reports the reason", async (t) => {
  const ca = await make("ca", { key: rsa, subject: "/CN=management" });
  const { certificate } = await make("agent", { key: brainpool, subject: "/CN=controller-0/O=khw:agent", by: "ca" });
  const paths = { ca: path("own-ca.pem"), certificate: path("own.pem"), key: path("own-key.pem") };
  await proveKey(paths, "controller-0");
  await t.rejects(adoptCertificate(paths, { ca: ca.certificate, certificate }), {
    message: /^the certificate is refused: /,
  });
  const present = { ca: ca.certificate, certificate, hasKey: true };
  t.type(
    whyNew("controller-0", present, ca.certificate) ?? "",
    "string",
    "the client that installs the certificate refuses it too",
  );
});

t.test("a client always reads the server's own certificate, not the next certificate in the chain", async (t) => {
  guardPeerCertificates();
  await make("issuer", { key: rsa, subject: "/CN=issuer" });
  const leaf = await make("served", { key: rsa, subject: "/CN=controller-0", by: "issuer" });
  const issuer = await readFile(path("issuer.pem"), "utf8");
  for (const cert of [leaf.certificate, `${leaf.certificate}${issuer}`]) {
    const server = createServer({ cert, key: leaf.key }, () => {});
    await once(server.listen(0, "127.0.0.1"), "listening");
    t.teardown(() => server.close());
    const socket = connect({ host: "127.0.0.1", port: portOf(server), rejectUnauthorized: false });
    t.teardown(() => socket.destroy());
    await once(socket, "secureConnect");
    for (let call = 0; call < 3; call++) {
      t.equal(socket.getPeerCertificate().subject.CN, "controller-0");
      t.equal(socket.getPeerX509Certificate()?.subject, "CN=controller-0");
    }
  }
});

t.test("a client survives a call to an unknown server with a brainpool certificate or chain", async (t) => {
  guardPeerCertificates();
  const authority = await make("authority", { key: rsa, subject: "/CN=management" });
  const identity = {
    ca: Buffer.from(authority.certificate),
    certificate: Buffer.from(authority.certificate),
    key: Buffer.from(authority.key),
  };
  const own = await make("own-brainpool", { key: brainpool, subject: "/CN=controller-0" });
  const leaf = await make("leaf", { key: rsa, subject: "/CN=controller-0" });
  const impostor = await make("impostor", { key: brainpool, subject: "/CN=controller-0" });
  const chain = { certificate: `${leaf.certificate}${impostor.certificate}`, key: leaf.key };
  for (const { certificate, key } of [own, chain]) {
    const server = createServer({ cert: certificate, key, ALPNProtocols: ["h2"] }, (socket) => socket.destroy());
    await once(server.listen(0, "127.0.0.1"), "listening");
    t.teardown(() => server.close());
    const address = { name: "controller-0", host: "127.0.0.1", port: portOf(server) };
    const { signal } = new AbortController();
    const shown = await probeCertificate(address, { waitMillis: 1000, signal });
    t.equal(shown.subject, "CN=controller-0");
    const node = connectEnrolment(address, identity, shown);
    await t.rejects(node.enrolment(signal), { code: "UNREACHABLE", node: "controller-0" });
    node.close();
  }
});
