import { execFile } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import t from "tap";
import { install } from "../../client/commands/install.ts";
import { pkiInit, pkiIssue } from "../../client/commands/pki.ts";
import { pkiRevoke } from "../../client/commands/pki-revoke.ts";
import { loadConfig } from "../../client/config/load.ts";
import type { Context } from "../../client/terminal/context.ts";
import { readAuthority } from "../../client/pki/folder.ts";
import { issue } from "../../client/pki/management/issue.ts";
import { addToRegister, readRegister } from "../../client/pki/management/register.ts";
import { KhwError } from "../../proto/errors.ts";
import { prepareSsh, startMachine } from "../fixtures/ssh-machine.ts";
import type { SshMachine } from "../fixtures/ssh-machine.ts";

const run = promisify(execFile);
const base = await mkdtemp(join(tmpdir(), "khw-install-test-"));
const setting = await prepareSsh(base);
t.teardown(() => rm(base, { recursive: true }));
const machines = await Promise.all([startMachine(setting, "127.0.0.2"), startMachine(setting, "127.0.0.3")]);
t.teardown(() => Promise.all(machines.map(({ stop }) => stop())));
const [first, second] = machines;
const pki = join(base, "khw-pki");

interface Watched extends Context {
  readonly said: () => string;
}

function context(signal = new AbortController().signal, env: Context["env"] = {}): Watched {
  let text = "";
  const write = (more: string): void => void (text += more);
  const whole = { PATH: process.env["PATH"], HOME: base, ...env };
  return { write, warn: write, terminal: false, env: whole, signal, said: () => text };
}

await pkiInit(context(), { folder: pki });

/**
 * A substitute for the agent's program, which would need a Node binary on the machine. The substitute creates a key and
 * a certificate request, and installs the issued certificate.
 */
const agentProgram = `#!/bin/sh
set -eu
umask 077
cd /etc/khw-agent/pki
case $1 in
  --request)
    [ -f agent-key.pem.next ] || openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out agent-key.pem.next
    openssl req -new -key agent-key.pem.next -subj "/CN=not-its-name/O=khw:admin"
    ;;
  --accept)
    csplit --quiet --prefix=part - '/BEGIN CERTIFICATE/' '{*}'
    mv part01 ca.pem
    mv agent-key.pem.next agent-key.pem
    mv part02 agent.pem
    rm part00
    ;;
esac
`;

/** Builds a .deb that contains only the substitute program and a file with its version. */
async function buildDeb(fields: Readonly<Record<string, string>>, content = "agent"): Promise<string> {
  const control = {
    Package: "khw-agent",
    Version: "0.1.0",
    Architecture: "all",
    Maintainer: "khw <khw@example.com>",
    Description: "stands in for the agent",
    ...fields,
  };
  const tree = await mkdtemp(join(base, "deb-"));
  await mkdir(join(tree, "DEBIAN"));
  await mkdir(join(tree, "usr/share/khw-agent"), { recursive: true });
  await mkdir(join(tree, "usr/sbin"));
  await writeFile(join(tree, "usr/sbin/khw-agent"), agentProgram, { mode: 0o755 });
  await writeFile(join(tree, "usr/share/khw-agent/agent"), `${content}\n`);
  const lines = Object.entries(control).map(([field, value]) => `${field}: ${value}\n`);
  await writeFile(join(tree, "DEBIAN/control"), lines.join(""));
  const { stdout } = await run("md5sum", ["usr/share/khw-agent/agent"], { cwd: tree });
  await writeFile(join(tree, "DEBIAN/md5sums"), stdout);
  await run("chmod", ["-R", "u=rwX,go=rX", tree]);
  await run("chmod", ["0755", join(tree, "usr/sbin/khw-agent")]);
  const deb = `${tree}.deb`;
  await run("dpkg-deb", ["--root-owner-group", "-Znone", "--build", tree, deb]);
  return deb;
}

const architecture = (await run("dpkg", ["--print-architecture"])).stdout.trim();
const deb = await buildDeb({ Architecture: architecture });

const sshOptions = [
  `Port=${setting.port}`,
  `IdentityFile=${setting.identityFile}`,
  "IdentitiesOnly=yes",
  `UserKnownHostsFile=${setting.knownHosts}`,
  "GlobalKnownHostsFile=/dev/null",
];

interface Attempt {
  readonly nodes?: string;
  readonly deb?: string;
  readonly sshUser?: string;
  readonly sshOptions?: readonly string[];
  readonly via?: string;
  readonly folder?: string;
  readonly context?: Context;
  readonly flags?: readonly (readonly [string, string])[];
}

async function tryInstall(attempt: Attempt): Promise<number> {
  const watched = attempt.context ?? context();
  const nodes = attempt.nodes ?? "controller-0=127.0.0.2";
  const flags = new Map([["--nodes", nodes], ["--management-ca", join(pki, "ca.pem")], ...(attempt.flags ?? [])]);
  const config = await loadConfig({ flags, folder: base, env: watched.env });
  return install(config, watched, {
    deb: attempt.deb ?? deb,
    via: attempt.via,
    sshUser: attempt.sshUser ?? "root",
    sshOptions: attempt.sshOptions ?? sshOptions,
    folder: attempt.folder,
  });
}

const identity = (machine: SshMachine, file: string): string => machine.path(`etc/khw-agent/pki/${file}`);
const certificateOf = async (machine: SshMachine): Promise<X509Certificate> =>
  new X509Certificate(await readFile(identity(machine, "agent.pem")));

t.test("if one node is unreachable, install completes the other nodes and fails with PARTIAL", async (t) => {
  const watched = context();
  const nodes = "controller-0=127.0.0.2,controller-1=127.0.0.9,controller-2=127.0.0.3";
  await t.rejects(tryInstall({ nodes, context: watched }), {
    code: "PARTIAL",
    message: "1 of 3 nodes failed: controller-1",
  });
  t.match(watched.said(), /^controller-1: ssh: .*127\.0\.0\.9.* Connection refused\nhint: .*firewall/m);
  t.match(
    watched.said(),
    /^controller-0: new identity, because the node has no identity yet: CN=controller-0, O=khw:agent, valid/m,
  );
  t.match(watched.said(), /^controller-0: copying deb-.*\.deb \(0\.0 MB\)$/m);
  t.match(watched.said(), /^controller-0: installing khw-agent 0\.1\.0$/m);
  t.match(watched.said(), /^controller-0: khw-agent 0\.1\.0 is running$/m);
  t.match(watched.said(), /^controller-2: khw-agent 0\.1\.0 is running$/m);
  t.notMatch(watched.said(), /PRIVATE KEY/);
});

t.test("the node gets only the package and its own identity, which only root can read", async (t) => {
  t.equal(await readFile(first.path("usr/share/khw-agent/agent"), "utf8"), "agent\n");
  t.same((await readdir(identity(first, ""))).sort(), ["agent-key.pem", "agent.pem", "ca.pem"]);
  for (const file of await readdir(identity(first, ""))) {
    const { mode, uid, gid } = await stat(identity(first, file));
    t.same({ mode: mode & 0o7777, uid, gid }, { mode: 0o600, uid: 0, gid: 0 }, file);
  }
  t.equal((await stat(identity(first, ""))).mode & 0o7777, 0o700);
  t.equal(await readFile(identity(first, "ca.pem"), "utf8"), await readFile(join(pki, "ca.pem"), "utf8"));
  await run("openssl", ["verify", "-CAfile", join(pki, "ca.pem"), identity(first, "agent.pem")]);
  const { stdout } = await run("openssl", ["pkey", "-in", identity(first, "agent-key.pem"), "-pubout"]);
  const certificate = await certificateOf(first);
  t.equal(certificate.publicKey.export({ type: "spki", format: "pem" }), stdout);
  t.equal(certificate.subjectAltName, "DNS:controller-0");
  t.equal((await certificateOf(second)).subjectAltName, "DNS:controller-2");
  t.same(
    (await readdir(pki)).sort(),
    ["admin-key.pem", "admin.pem", "agents.jsonl", "ca-key.pem", "ca.pem"],
    "the PKI folder contains no agent key",
  );
  t.equal(
    certificate.subject,
    "CN=controller-0\nO=khw:agent",
    "the certificate's subject does not come from the request",
  );
  const register = await readRegister(pki);
  t.same(register.issued.get("controller-0"), [certificate.serialNumber]);
  t.same(await readdir(first.path("tmp")), []);
  const calls = [
    "--quiet stop khw-agent-rollback.timer",
    "restart khw-agent.service",
    "--quiet is-active khw-agent.service",
  ];
  t.same(await first.systemctlCalls(), calls);
});

/** Returns everything that a second run must not change. */
async function fingerprint(machine: SshMachine): Promise<unknown> {
  const files = (await readdir(identity(machine, ""))).map((file) => identity(machine, file));
  files.push(machine.path("usr/share/khw-agent/agent"), machine.path("var/lib/dpkg/status"));
  return Promise.all(
    files.map(async (file) => {
      const { ino, mtimeNs, ctimeNs } = await stat(file, { bigint: true });
      return [file, ino, mtimeNs, ctimeNs];
    }),
  );
}

t.test("a second install changes nothing", async (t) => {
  const before = await fingerprint(first);
  const watched = context();
  t.equal(await tryInstall({ context: watched }), 0);
  t.match(watched.said(), /^controller-0: khw-agent 0\.1\.0 is running, unchanged$/m);
  t.notMatch(watched.said(), /installing|new identity/);
  t.same(await fingerprint(first), before);
  t.same((await first.systemctlCalls()).slice(3), ["start khw-agent.service", "--quiet is-active khw-agent.service"]);
});

t.test("install also installs an older package or a rebuild of the same version", async (t) => {
  for (const [version, content] of [
    ["0.2.0", "newer"],
    ["0.1.0", "older"],
    ["0.1.0", "anew"],
  ] as const) {
    const other = await buildDeb({ Version: version, Architecture: architecture }, content);
    t.equal(await tryInstall({ deb: other }), 0);
    t.equal(await readFile(first.path("usr/share/khw-agent/agent"), "utf8"), `${content}\n`);
  }
});

t.test("install works as a normal user with sudo, and fails with a hint without sudo", async (t) => {
  const watched = context();
  t.equal(await tryInstall({ sshUser: "helper", context: watched }), 0);
  const refused = context();
  await t.rejects(tryInstall({ sshUser: "guest", context: refused }), { code: "UNREACHABLE" });
  t.match(refused.said(), /^controller-0: ssh: sudo: a password is required\nhint: .*sudo without a password/m);
  const stranger = context();
  await t.rejects(tryInstall({ sshUser: "nobody-here", context: stranger }), { code: "UNREACHABLE" });
  t.match(stranger.said(), /Permission denied \(publickey\).*\nhint: .*--ssh-user/);
});

t.test("install refuses a node with an unknown host key, and the check cannot be disabled", async (t) => {
  const unknown = sshOptions.filter((option) => !option.startsWith("UserKnownHostsFile"));
  const fresh = join(base, "fresh_known_hosts");
  const before = await fingerprint(first);
  const watched = context();
  const options = [...unknown, `UserKnownHostsFile=${fresh}`];
  await t.rejects(tryInstall({ sshOptions: options, context: watched }), { code: "UNREACHABLE" });
  t.match(watched.said(), /Host key verification failed\.\nhint: connect once manually/);
  t.same(await fingerprint(first), before);
  for (const off of ["StrictHostKeyChecking=no", "stricthostkeychecking off", "StrictHostKeyChecking = no"]) {
    await t.rejects(tryInstall({ sshOptions: [...options, off] }), {
      message: /host key checking cannot be turned off/,
    });
  }
  t.equal(
    await tryInstall({ sshOptions: [...options, "StrictHostKeyChecking=accept-new"] }),
    0,
    "install accepts an unknown host key with accept-new",
  );
  t.match(await readFile(fresh, "utf8"), /ssh-ed25519/);
});

t.test("an identity is replaced if it is from another CA, is for another name, or expires soon", async (t) => {
  const replaced = async (reason: RegExp): Promise<void> => {
    const before = await readFile(identity(first, "agent.pem"), "utf8");
    const watched = context();
    t.equal(await tryInstall({ context: watched }), 0);
    t.match(watched.said(), reason);
    t.not(await readFile(identity(first, "agent.pem"), "utf8"), before);
    await run("openssl", ["verify", "-CAfile", join(pki, "ca.pem"), identity(first, "agent.pem")]);
    t.match((await first.systemctlCalls()).at(-2), "restart khw-agent.service");
  };
  const put = async (folder: string, name: string, daysAgo = 0): Promise<void> => {
    const authority = await readAuthority(folder);
    const begun = new Date(Date.now() - daysAgo * 86_400_000);
    const other = await issue(authority, { name, role: "agent", days: 90 }, begun);
    await writeFile(identity(first, "agent.pem"), other.certificate);
    await writeFile(identity(first, "agent-key.pem"), other.key);
    await writeFile(identity(first, "ca.pem"), authority.certificate);
  };
  const foreign = join(base, "foreign");
  await pkiInit(context(), { folder: foreign });

  await put(foreign, "controller-0");
  await replaced(/because the current identity is from another management CA/);
  await put(pki, "controller-9");
  await replaced(/because the current identity is for another name/);
  await put(pki, "controller-0", 61);
  await replaced(/because the current identity expires on \d{4}-/);
  await writeFile(identity(first, "agent.pem"), "garbage");
  await replaced(/because the current identity cannot be read/);
  await rm(identity(first, "agent-key.pem"));
  await replaced(/because the node has no identity yet/);
});

t.test("a revoked node gets no new identity and keeps its current identity", async (t) => {
  await addToRegister(pki, { event: "revoked", at: new Date().toISOString(), name: "controller-7", serials: [] });
  const before = await fingerprint(first);
  const watched = context();
  const refused = tryInstall({ nodes: "controller-7=127.0.0.2", context: watched });
  await t.rejects(refused, { code: "PERMISSION_DENIED" });
  t.match(watched.said(), /^controller-7: controller-7 was revoked and cannot get a certificate\nhint: .*--readmit/m);
  t.same(await fingerprint(first), before);
});

t.test("with an identity that was issued in advance, install does not need the CA's key", async (t) => {
  const apart = join(base, "apart");
  await pkiInit(context(), { folder: apart });
  await pkiIssue(context(), { folder: apart, names: ["controller-0"], role: "agent" });
  await rm(join(apart, "ca-key.pem"));
  t.equal(await tryInstall({ folder: apart }), 0);
  const issued = await readFile(join(apart, "controller-0.pem"), "utf8");
  t.equal(await readFile(identity(first, "agent.pem"), "utf8"), issued);

  const watched = context();
  const nodes = "controller-5=127.0.0.2";
  await t.rejects(tryInstall({ folder: apart, nodes, context: watched }), { code: "CREDENTIAL_INVALID" });
  t.match(watched.said(), /^controller-5: .*ca-key\.pem: is missing/m);
  t.equal(await readFile(identity(first, "agent.pem"), "utf8"), issued, "the node keeps its identity");
  t.same(await readdir(first.path("tmp")), []);
});

t.test("a revoked identity is not used again, even after the name is readmitted", async (t) => {
  const folder = join(base, "revoked");
  await pkiInit(context(), { folder });
  await pkiIssue(context(), { folder, names: ["controller-0"], role: "agent" });
  t.equal(await tryInstall({ folder }), 0);
  const issued = await readFile(join(folder, "controller-0.pem"), "utf8");
  t.equal(await readFile(identity(first, "agent.pem"), "utf8"), issued);
  await pkiRevoke(context(), { folder, names: ["controller-0"] });

  const before = await fingerprint(first);
  const keeps = context();
  await t.rejects(
    tryInstall({ folder, context: keeps }),
    { code: "PERMISSION_DENIED" },
    "a revoked node that has an identity is refused",
  );
  t.match(keeps.said(), /^controller-0: controller-0 was revoked and cannot get a certificate/m);
  t.same(await fingerprint(first), before);
  await rm(identity(first, "agent.pem"));
  await t.rejects(
    tryInstall({ folder }),
    { code: "PERMISSION_DENIED" },
    "a revoked node that has no identity is refused",
  );

  const at = new Date().toISOString();
  await addToRegister(folder, { event: "readmitted", at, name: "controller-0" });
  t.equal(await tryInstall({ folder }), 0);
  const { serialNumber } = await certificateOf(first);
  t.not(serialNumber, new X509Certificate(issued).serialNumber);
  t.notOk((await readRegister(folder)).revokedSerials.has(serialNumber));
});

t.test("install refuses a wrong or damaged package before any change", async (t) => {
  const before = await fingerprint(first);
  const refused = async (path: string, message: RegExp): Promise<void> => {
    const watched = context();
    await t.rejects(tryInstall({ deb: path, context: watched }), { code: "INVALID_ARGUMENT" });
    t.match(watched.said(), message);
  };
  await refused(await buildDeb({ Package: "other" }), /^controller-0: the \.deb is the package other, not khw-agent/m);
  const foreign = architecture === "amd64" ? "arm64" : "amd64";
  await refused(await buildDeb({ Architecture: foreign }), new RegExp(`the \\.deb is for ${foreign}, but the node is`));
  await t.rejects(tryInstall({ deb: join(base, "missing.deb") }), { message: /missing\.deb cannot be opened/ });
  await t.rejects(tryInstall({ deb: setting.knownHosts }), { message: /known_hosts is not a Debian package/ });
  const cut = join(base, "cut.deb");
  await writeFile(cut, (await readFile(deb)).subarray(0, 300));
  await refused(cut, /dpkg-deb cannot read the \.deb/);
  t.same(await fingerprint(first), before);
  t.same(await readdir(first.path("tmp")), []);
});

t.test("install reports the error messages of apt and the agent", async (t) => {
  const watched = context();
  const impossible = await buildDeb({ Version: "0.3.0", Architecture: architecture, Depends: "not-a-package" });
  await t.rejects(tryInstall({ deb: impossible, context: watched }), { code: "PACKAGE_FAILED" });
  t.match(watched.said(), /apt-get could not install khw-agent 0\.3\.0: .*not-a-package.*broken packages/);

  await writeFile(first.path("etc/khw-agent-breaks"), "");
  const broken = context();
  await t.rejects(tryInstall({ context: broken }), { code: "SERVICE_FAILED" });
  t.match(broken.said(), /^controller-0: khw-agent 0\.1\.0 is not running: .*Job for .* failed.*\nhint: .*journalctl/m);
  await rm(first.path("etc/khw-agent-breaks"));
  t.equal(await tryInstall({}), 0);
});

t.test("install ends when its caller aborts or its deadline passes", async (t) => {
  const interrupted = context(AbortSignal.abort(new KhwError("CANCELLED", "ended by SIGINT")));
  await t.rejects(tryInstall({ context: interrupted }), { code: "CANCELLED" });
  const late = context();
  const flags = [["--node-timeout", "1ms"]] as const;
  await t.rejects(tryInstall({ context: late, flags }), { code: "TIMEOUT" });
  t.match(late.said(), /controller-0: not done after 0\.001 s, last progress: connecting/);
  const nowhere = context(undefined, { PATH: join(base, "empty") });
  await t.rejects(tryInstall({ context: nowhere }), { code: "PROGRAM_MISSING" });
  t.match(nowhere.said(), /ssh is not on this workstation/);
});

t.test(
  "install through gcloud runs the same command, checks host keys, and passes no secrets as arguments",
  async (t) => {
    // The test has no access to Google. A fake gcloud records its arguments and connects to the node over ssh, as the
    // real gcloud does.
    const folder = join(base, "bin");
    await mkdir(folder);
    const record = join(base, "gcloud.json");
    const script = `#!${process.execPath}
const { spawnSync } = require("node:child_process");
const argv = process.argv.slice(2);
require("node:fs").writeFileSync(${JSON.stringify(record)}, JSON.stringify(argv));
const flag = (name) => argv.filter((arg) => arg.startsWith(name + "=")).map((arg) => arg.slice(name.length + 1));
const strict = "StrictHostKeyChecking=" + flag("--strict-host-key-checking")[0];
const ssh = ["-T", "-o", strict, ...flag("--ssh-flag"), argv[2].replace("controller-0", "127.0.0.2"), "--", flag("--command")[0]];
process.exit(spawnSync("ssh", ssh, { stdio: "inherit" }).status);
`;
    await writeFile(join(folder, "gcloud"), script, { mode: 0o755 });
    await rm(identity(first, "agent.pem"));

    const watched = context(undefined, { PATH: `${folder}:${process.env["PATH"]}` });
    const flags = [
      ["--project", "khw-testbed"],
      ["--zone", "us-west1-c"],
      ["--region", "us-west1"],
      ["--node-addresses", "internal"],
    ] as const;
    t.equal(await tryInstall({ nodes: "controller-0", via: "gcloud", context: watched, flags }), 0);
    const argv: unknown = JSON.parse(await readFile(record, "utf8"));
    if (!Array.isArray(argv)) throw new Error("no arguments");
    const expected = ["compute", "ssh", "root@controller-0", "--quiet", "--strict-host-key-checking=yes"];
    t.same(argv.slice(0, 5), expected);
    for (const flag of ["--project=khw-testbed", "--zone=us-west1-c", "--internal-ip", "--ssh-flag=-oBatchMode=yes"]) {
      t.ok(argv.includes(flag), flag);
    }
    const key = await readFile(identity(first, "agent-key.pem"), "utf8");
    t.notMatch(argv.join(" "), key.split("\n")[1]);
    t.notMatch(argv.join(" "), Buffer.from(key).toString("base64").slice(0, 64));
  },
);

const gcloud = await run("gcloud", ["--version"]).then(
  () => true,
  () => "gcloud is not on this machine",
);

t.test(
  "the real gcloud accepts the command line that install uses",
  { skip: gcloud === true ? false : gcloud },
  async (t) => {
    // Before gcloud starts ssh, it reads the project and the instance from the Compute API. The instance's metadata
    // contains the user's key.
    const publicKey = (await readFile(`${setting.identityFile}.pub`, "utf8")).trim();
    const instance = {
      id: "123",
      name: "controller-0",
      status: "RUNNING",
      metadata: {
        items: [
          { key: "block-project-ssh-keys", value: "TRUE" },
          { key: "ssh-keys", value: `root:${publicKey}` },
        ],
      },
      networkInterfaces: [{ networkIP: "127.0.0.2", accessConfigs: [{ natIP: "127.0.0.2" }] }],
    };
    const answers: Readonly<Record<string, unknown>> = {
      "/compute/v1/projects/khw-testbed/zones/us-west1-c/instances/controller-0": instance,
      "/compute/v1/projects/khw-testbed": { name: "khw-testbed" },
    };
    const api = createServer((request, response) => {
      const answer = answers[new URL(request.url ?? "", "http://api").pathname];
      response.writeHead(answer === undefined ? 404 : 200, { "content-type": "application/json" });
      response.end(JSON.stringify(answer ?? { error: { code: 404, message: `${request.method} ${request.url}` } }));
    });
    t.teardown(() => api.close());
    api.listen(0, "127.0.0.1");
    await once(api, "listening");
    const address = api.address();
    const port = typeof address === "object" ? address?.port : undefined;

    // gcloud uses its own key and its own list of known hosts, in which instances are identified by number.
    const ssh = join(base, ".ssh");
    await mkdir(ssh, { mode: 0o700 });
    await copyFile(setting.identityFile, join(ssh, "google_compute_engine"));
    await copyFile(`${setting.identityFile}.pub`, join(ssh, "google_compute_engine.pub"));
    const hostKey = (await readFile(setting.knownHosts, "utf8")).split(" ").slice(1).join(" ");
    const knownHosts = join(ssh, "google_compute_known_hosts");
    const watched = context(undefined, {
      CLOUDSDK_CONFIG: join(base, "gcloud"),
      CLOUDSDK_AUTH_DISABLE_CREDENTIALS: "true",
      CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE: `http://127.0.0.1:${port}/compute/v1/`,
    });
    const attempt = {
      nodes: "controller-0",
      via: "gcloud",
      context: watched,
      sshOptions: [`Port=${setting.port}`],
      flags: [
        ["--project", "khw-testbed"],
        ["--zone", "us-west1-c"],
        ["--region", "us-west1"],
      ],
    } as const;
    await writeFile(knownHosts, "");
    await t.rejects(tryInstall(attempt), { code: "UNREACHABLE" });
    t.match(watched.said(), /Host key verification failed\.\nhint: .*--strict-host-key-checking=ask/);
    await writeFile(knownHosts, `compute.123 ${hostKey}`);
    t.equal(await tryInstall(attempt), 0, watched.said());
    t.match(watched.said(), /^controller-0: khw-agent 0\.1\.0 is running, unchanged$/m);
  },
);

t.test("install reaches nodes by ssh if all of them have addresses, and otherwise through gcloud", async (t) => {
  const nowhere = join(base, "empty");
  for (const [nodes, program] of [
    ["controller-0=127.0.0.2", "ssh"],
    ["controller-0", "gcloud"],
    ["controller-0=127.0.0.2,controller-1", "gcloud"],
  ] as const) {
    const watched = context(undefined, { PATH: nowhere });
    await t.rejects(tryInstall({ nodes, context: watched }), { code: "PROGRAM_MISSING" });
    t.match(watched.said(), `${program} is not on this workstation`);
  }
  await t.rejects(tryInstall({ via: "telnet" }), { code: "INVALID_ARGUMENT", message: /--via/ });
  await t.rejects(tryInstall({ sshUser: "-oProxyCommand=x" }), { code: "INVALID_ARGUMENT", message: /--ssh-user/ });
  await t.rejects(tryInstall({ sshOptions: ["Port"] }), { code: "INVALID_ARGUMENT", message: /--ssh-option/ });
});
