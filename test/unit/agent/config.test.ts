import { generateKeyPairSync } from "node:crypto";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t, { type Test } from "tap";
import { loadConfig } from "../../../agent/config.ts";
import { checkIdentity } from "../../../agent/certificates/identity-files.ts";
import { createNotifier } from "../../../agent/notify.ts";
import { createAuthority, issue } from "../../../client/pki/management/issue.ts";

const base = await mkdtemp(join(tmpdir(), "khw-agent-config-test-"));
t.teardown(() => rm(base, { recursive: true }));

async function load(text: string) {
  const path = join(base, "config.yaml");
  await writeFile(path, text);
  return loadConfig(path);
}

const defaults = {
  listen: { host: "0.0.0.0", port: 7443 },
  identity: {
    ca: "/etc/khw-agent/pki/ca.pem",
    certificate: "/etc/khw-agent/pki/agent.pem",
    key: "/etc/khw-agent/pki/agent-key.pem",
  },
  machine: undefined,
  metadataUrl: "http://metadata.google.internal",
  storageUrl: "https://storage.googleapis.com",
  stateFolder: "/var/lib/khw-agent",
  supervision: { probeMillis: 5_000, reconcileMillis: 60_000 },
  metricsPort: 7444,
};

t.test("every key has its default value if the config file is missing or empty", async (t) => {
  t.strictSame(await loadConfig(join(base, "none.yaml")), defaults);
  for (const text of ["", "# nothing\n", "listen:\nmachine:\n", "machine: {}\n"]) {
    t.strictSame(await load(text), defaults, JSON.stringify(text));
  }
});

t.test("every key of the config file is read", async (t) => {
  const text = `
listen: { host: "::1", port: 8443 }
identity: { ca: /pki/ca.pem, certificate: /pki/me.pem, key: /pki/me-key.pem }
machine: { name: rack-4, internalIp: 192.0.2.7 }
metadataUrl: http://127.0.0.1:8080/
storageUrl: https://storage-psc.p.googleapis.com
stateFolder: /srv/khw
supervision: { probeSeconds: 0.5, reconcileSeconds: 10 }
metricsPort: 0
`;
  t.strictSame(await load(text), {
    listen: { host: "::1", port: 8443 },
    identity: { ca: "/pki/ca.pem", certificate: "/pki/me.pem", key: "/pki/me-key.pem" },
    machine: { name: "rack-4", internalIp: "192.0.2.7" },
    metadataUrl: "http://127.0.0.1:8080",
    storageUrl: "https://storage-psc.p.googleapis.com",
    stateFolder: "/srv/khw",
    supervision: { probeMillis: 500, reconcileMillis: 10_000 },
    metricsPort: 0,
  });
});

t.test("an invalid config file is refused with an error that names its path, the key and the reason", async (t) => {
  for (const [text, message] of [
    ["- a list", "the file: is not a mapping"],
    ["listen: 7443", "listen: is not a mapping"],
    ["metricsPort: -1", "metricsPort: is not a port"],
    ["supervision: { probeSeconds: 0 }", "supervision.probeSeconds: is not a number of seconds from 0.05 to 86400"],
    [
      "lissen: {}",
      "lissen: is not a known key; the keys are listen, identity, machine, metadataUrl, storageUrl, stateFolder, supervision, metricsPort",
    ],
    ["listen: { adress: ::1 }", "listen.adress: is not a known key; the keys are host, port"],
    ["identity: { cert: /x }", "identity.cert: is not a known key; the keys are ca, certificate, key"],
    ["machine: { ip: 10.0.0.1 }", "machine.ip: is not a known key; the keys are name, internalIp"],
    ["listen: { host: localhost }", 'listen.host: "localhost" is not an IP address'],
    ["listen: { host: }", "listen.host: is not a string"],
    ["listen: { port: 0 }", "listen.port: is not a port"],
    ["listen: { port: 65536 }", "listen.port: is not a port"],
    ["listen: { port: 74.43 }", "listen.port: is not a port"],
    ['listen: { port: "7443" }', "listen.port: is not a port"],
    ["identity: { ca: [] }", "identity.ca: is not a string"],
    ["identity: { certificate: agent.pem }", 'identity.certificate: "agent.pem" is not an absolute path'],
    ['identity: { key: "" }', "identity.key: is not a string"],
    ["machine: { name: controller-0 }", "machine.internalIp: is missing"],
    ["machine: { internalIp: 10.0.0.1 }", "machine.name: is missing"],
    ["machine: { name: Controller_0, internalIp: 10.0.0.1 }", /^machine\.name: "Controller_0" cannot be/],
    ["machine: { name: c, internalIp: fe80::1 }", 'machine.internalIp: "fe80::1" is not an IPv4 address'],
    ["metadataUrl: metadata.google.internal", /^metadataUrl: .* is not an http or https URL/],
    ["metadataUrl: file:///etc/shadow", /^metadataUrl: .* is not an http or https URL/],
    ["storageUrl: gs://bucket", /^storageUrl: .* is not an http or https URL/],
    ["stateFolder: var/lib", 'stateFolder: "var/lib" is not an absolute path'],
    ["listen: { host: ::1, host: ::1 }", /unique/],
    ["listen: [", /at line 1/],
  ] as const) {
    const error = await load(text).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    t.match(error, { code: "CONFIG_INVALID" }, text);
    const told = error instanceof Error ? error.message : "";
    t.ok(told.startsWith(`${base}/config.yaml: `), told);
    t.match(told.slice(`${base}/config.yaml: `.length), message);
  }
  await t.rejects(loadConfig(base), { code: "CONFIG_INVALID", message: /EISDIR/ });
});

t.test(
  "an agent identity is refused if its files do not match, are expired or unreadable, or have a mode that is too permissive",
  async (t) => {
    const now = new Date();
    const day = 86_400_000;
    const paths = { ca: join(base, "ca.pem"), certificate: join(base, "agent.pem"), key: join(base, "agent-key.pem") };
    const authority = await createAuthority(now);
    const agent = { name: "controller-0", role: "agent", days: 1 } as const;
    const place = async (identity: { certificate: string; key: string }, ca = authority.certificate): Promise<void> => {
      await writeFile(paths.ca, ca);
      await writeFile(paths.certificate, identity.certificate);
      await writeFile(paths.key, identity.key, { mode: 0o600 });
      await chmod(paths.key, 0o600);
    };
    const good = await issue(authority, agent, now);
    const other = await createAuthority(now);
    const refused = async (t: Test, path: string, message: RegExp): Promise<void> => {
      const error = await checkIdentity(paths).then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
      t.match(error, { code: "CREDENTIAL_INVALID", hint: /./ });
      t.ok(
        error instanceof Error && error.message.startsWith(`${path}: `) && message.test(error.message),
        String(error),
      );
      t.notMatch(String(error), "PRIVATE KEY");
    };

    await place(good);
    await t.resolves(checkIdentity(paths), "an identity whose files match is accepted");
    await place(good, other.certificate);
    await refused(t, paths.certificate, /is not signed by the CA/);
    await place({ ...good, key: other.key });
    await refused(t, paths.key, /is not the key for/);
    await place({
      ...good,
      key: generateKeyPairSync("ed25519").privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    });
    await refused(t, paths.key, /is not the key for/);
    await place(await issue(await createAuthority(new Date(+now - 9 * day)), agent, now));
    await refused(t, paths.certificate, /is not signed by the CA/);
    await place(await issue(authority, agent, new Date(+now - 2 * day)));
    await refused(t, paths.certificate, /expired on 20/);
    await place(await issue(authority, agent, new Date(+now + 2 * day)));
    await refused(t, paths.certificate, /is valid only from 20/);
    await place(await issue(authority, { ...agent, role: "admin" }, now));
    await refused(t, paths.certificate, /is issued for callers, not for an agent/);
    await place({ ...good, certificate: "no certificate" });
    await refused(t, paths.certificate, /./);
    await place({ ...good, key: "no key" });
    await refused(t, paths.key, /./);
    await place(good);
    await chmod(paths.key, 0o640);
    await refused(t, paths.key, /can be read by users other than its owner/);
    await rm(paths.key);
    await refused(t, paths.key, /ENOENT/);
  },
);

t.test("no notification is sent if the agent does not run under systemd", async (t) => {
  const lines: string[] = [];
  const signal = new AbortController().signal;
  const { ready, status, stopping } = createNotifier({ env: {}, log: (line) => lines.push(line), signal });
  await ready();
  status("serving");
  await stopping();
  t.strictSame(lines, []);
});
