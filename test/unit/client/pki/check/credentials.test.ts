import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { parseConfig } from "../../../../../client/config/load.ts";
import { checkCredentials } from "../../../../../client/pki/check/check.ts";
import { collect } from "../../../../../client/pki/check/problem.ts";
import { encryptionConfigIsSound } from "../../../../../client/pki/check/encryption-config.ts";
import { readCredentials } from "../../../../../client/pki/check/read.ts";
import type { NewFiles } from "../../../../../client/pki/folder.ts";
import { createFrontProxy } from "../../../../../client/pki/cluster/front-proxy.ts";
import { createClusterAuthority } from "../../../../../client/pki/cluster/issue.ts";
import { credentialNames, credentialSet } from "../../../../../proto/components.ts";
import { KhwError } from "../../../../../proto/errors.ts";
import { issue, makeAuthority } from "../../../../testbed/certificates.ts";
import { makeCredentials, subjectAlternativeNames } from "../../../../testbed/credentials.ts";

const publicAddress = "203.0.113.10";
const controllers = [0, 1, 2].map((number) => ({ name: `controller-${number}`, internalIp: `10.240.0.1${number}` }));
const cluster = { nodes: controllers.map(({ internalIp: address }) => ({ address })), publicAddress };

const root = await mkdtemp(join(tmpdir(), "khw-credentials-"));
t.teardown(() => rm(root, { recursive: true }));
const sound = join(root, "sound");
const strange = join(root, "strange");
await mkdir(strange);
await Promise.all([makeCredentials(sound, cluster), makeAuthority(strange)]);

let copies = 0;

/** Copies the valid files and applies the change to the copy. */
async function spoilt(change: (folder: string) => Promise<unknown>): Promise<string> {
  const folder = join(root, `copy-${copies++}`);
  await cp(sound, folder, { recursive: true });
  await change(folder);
  return folder;
}

function read(folder: string, more: Readonly<Record<string, boolean>> = {}) {
  const origin = { label: "", code: "CONFIG_INVALID", folder } as const;
  const flags = new Map(Object.entries({ "--credentials": folder, ...more }));
  return readCredentials(parseConfig({ kind: "empty", origin }, { flags, folder }), { controllers, publicAddress });
}

async function refusal(folder: string): Promise<KhwError> {
  try {
    await read(folder);
  } catch (error) {
    if (error instanceof KhwError) return error;
    throw error;
  }
  throw new Error("the credentials were accepted");
}

async function edit(folder: string, file: string, change: (text: string) => string): Promise<void> {
  const text = await readFile(join(folder, file), "utf8");
  const changed = change(text);
  if (changed === text) throw new Error(`nothing was changed in ${file}`);
  await writeFile(join(folder, file), changed);
}

/** Embeds a different certificate and key in a kubeconfig. */
async function embed(folder: string, kubeconfig: string, pem: string): Promise<void> {
  const data = async (file: string) => (await readFile(join(folder, file))).toString("base64");
  const [certificate, key] = await Promise.all([data(`${pem}.pem`), data(`${pem}-key.pem`)]);
  await edit(folder, kubeconfig, (text) =>
    text
      .replace(/client-certificate-data: .*/, `client-certificate-data: ${certificate}`)
      .replace(/client-key-data: .*/, `client-key-data: ${key}`),
  );
}

t.test("the files of the lab are accepted and returned unchanged", async (t) => {
  const { credentials, admin } = await read(sound);
  t.same(
    credentials.map(({ name }) => name),
    credentialNames,
  );
  for (const { name, content } of credentials) t.same(content, await readFile(join(sound, name)));
  t.same(admin.certificate, await readFile(join(sound, "admin.pem")));
  t.same(admin.key, await readFile(join(sound, "admin-key.pem")));
  t.same(admin.ca, await readFile(join(sound, "ca.pem")));
  t.equal(admin.server, "https://127.0.0.1:6443");
});

const serving = { names: subjectAlternativeNames(cluster) };
const without = (address: string) => ({ names: serving.names.filter((name) => name !== `IP:${address}`) });

const cases: readonly [title: string, change: (folder: string) => Promise<unknown>, message: RegExp][] = [
  ["a file is missing", (folder) => rm(join(folder, "ca-key.pem")), /: ca-key\.pem: is missing$/],
  [
    "the admin's kubeconfig is missing",
    (folder) => rm(join(folder, "admin.kubeconfig")),
    /: admin\.kubeconfig: is missing$/,
  ],
  [
    "a folder exists in place of a file",
    async (folder) => {
      await rm(join(folder, "kubernetes-key.pem"));
      await mkdir(join(folder, "kubernetes-key.pem"));
    },
    /: kubernetes-key\.pem: cannot be read \(EISDIR\)$/,
  ],
  [
    "a certificate is not PEM",
    (folder) => writeFile(join(folder, "kubernetes.pem"), "x"),
    /kubernetes\.pem: has no certificate in PEM/,
  ],
  [
    "a key is not PEM",
    (folder) => writeFile(join(folder, "kubernetes-key.pem"), "x"),
    /kubernetes-key\.pem: has no private key in PEM/,
  ],
  [
    "a key does not match its certificate",
    (folder) => cp(join(folder, "admin-key.pem"), join(folder, "kubernetes-key.pem")),
    /: kubernetes-key\.pem: is not the key of kubernetes\.pem$/,
  ],
  [
    "the CA's key belongs to another certificate",
    (folder) => cp(join(folder, "admin-key.pem"), join(folder, "ca-key.pem")),
    /: ca-key\.pem: is not the key of ca\.pem$/,
  ],
  [
    "a certificate has expired",
    (folder) => issue(folder, "kubernetes", { ...serving, days: -1 }),
    /: kubernetes\.pem: notAfter: expired on \d{4}-\d\d-\d\dT/,
  ],
  [
    "a certificate is from another CA",
    (folder) => issue(folder, "kubernetes", { ...serving, authority: strange }),
    /: kubernetes\.pem: issuer: was not issued by the CA in ca\.pem$/,
  ],
  [
    "the certificate lacks the public address",
    (folder) => issue(folder, "kubernetes", without(publicAddress)),
    /: kubernetes\.pem: subjectAltName: lacks 203\.0\.113\.10 \(the public address\)$/,
  ],
  [
    "the certificate lacks a controller's address",
    (folder) => issue(folder, "kubernetes", without("10.240.0.11")),
    /: kubernetes\.pem: subjectAltName: lacks 10\.240\.0\.11 \(controller-1\)$/,
  ],
  [
    "the certificate lacks the loopback address",
    (folder) => issue(folder, "kubernetes", without("127.0.0.1")),
    /kubernetes\.pem: subjectAltName: lacks 127\.0\.0\.1 /,
  ],
  [
    "the certificate lacks the service's address",
    (folder) => issue(folder, "kubernetes", without("10.32.0.1")),
    /: kubernetes\.pem: subjectAltName: lacks 10\.32\.0\.1 \(the kubernetes service\)$/,
  ],
  [
    "ca.pem is not a CA certificate",
    (folder) => cp(join(folder, "admin.pem"), join(folder, "ca.pem")),
    /ca\.pem: basicConstraints: is not a CA certificate/,
  ],
  [
    "the service-account files do not match",
    (folder) => cp(join(folder, "admin-key.pem"), join(folder, "service-account-key.pem")),
    /: service-account-key\.pem: is not the key of service-account\.pem$/,
  ],
  [
    "service-account.pem is a private key",
    (folder) => cp(join(folder, "service-account-key.pem"), join(folder, "service-account.pem")),
    /service-account\.pem: contains a private key instead of the public key/,
  ],
  [
    "a kubeconfig is not YAML",
    (folder) => writeFile(join(folder, "kube-scheduler.kubeconfig"), "a: *b\nclient-key-data: c2VjcmV0"),
    /: kube-scheduler\.kubeconfig: is not a kubeconfig: it is not YAML/,
  ],
  [
    "a kubeconfig has no current context",
    (folder) =>
      edit(folder, "kube-scheduler.kubeconfig", (text) =>
        text.replace("current-context: default", "current-context: other"),
      ),
    /: kube-scheduler\.kubeconfig: current-context: refers to a context that does not exist$/,
  ],
  [
    "a kubeconfig names files",
    (folder) =>
      edit(folder, "kube-scheduler.kubeconfig", (text) =>
        text.replace(/client-key-data: .*/, "client-key: kube-scheduler-key.pem"),
      ),
    /: kube-scheduler\.kubeconfig: users\.system:kube-scheduler\.client-key: refers to a file/,
  ],
  [
    "the data in a kubeconfig is not valid base64",
    (folder) =>
      edit(folder, "kube-scheduler.kubeconfig", (text) =>
        text.replace(/client-key-data: .*/, "client-key-data: '%%%'"),
      ),
    /: kube-scheduler\.kubeconfig: users\.system:kube-scheduler\.client-key-data: is not base64 that Go accepts$/,
  ],
  [
    "a kubeconfig is for another component",
    (folder) => embed(folder, "kube-scheduler.kubeconfig", "kube-controller-manager"),
    /: kube-scheduler\.kubeconfig: users\.system:kube-scheduler\.client-certificate-data: subject\.CN: is system:kube-controller-manager, not system:kube-scheduler$/,
  ],
  [
    "the admin is not in the group system:masters",
    (folder) => embed(folder, "admin.kubeconfig", "kube-scheduler"),
    /: admin\.kubeconfig: users\.admin\.client-certificate-data: subject\.O: is system:kube-scheduler, not system:masters$/,
  ],
  [
    "a kubeconfig's certificate has expired",
    async (folder) => {
      await issue(folder, "kube-scheduler", { days: -1 });
      await embed(folder, "kube-scheduler.kubeconfig", "kube-scheduler");
    },
    /: kube-scheduler\.kubeconfig: users\.system:kube-scheduler\.client-certificate-data: notAfter: expired on /,
  ],
  [
    "a kubeconfig trusts another CA",
    async (folder) => {
      const ca = (await readFile(join(strange, "ca.pem"))).toString("base64");
      await edit(folder, "kube-scheduler.kubeconfig", (text) =>
        text.replace(/certificate-authority-data: .*/, `certificate-authority-data: ${ca}`),
      );
    },
    /: kube-scheduler\.kubeconfig: clusters\.kubernetes-the-hard-way\.certificate-authority-data: is not the CA in ca\.pem$/,
  ],
  [
    "a kubeconfig's server is not the API server",
    (folder) =>
      edit(folder, "kube-scheduler.kubeconfig", (text) => text.replace("127.0.0.1:6443", "198.51.100.1:6443")),
    /: kube-scheduler\.kubeconfig: clusters\.kubernetes-the-hard-way\.server: kubernetes\.pem is not valid for 198\.51\.100\.1$/,
  ],
  [
    "a kubeconfig's server URL does not use TLS",
    (folder) => edit(folder, "kube-scheduler.kubeconfig", (text) => text.replace("https://", "http://")),
    /\.server: is not an https URL$/,
  ],
  [
    "the encryption config has the wrong kind",
    (folder) =>
      edit(folder, "encryption-config.yaml", (text) => text.replace("kind: EncryptionConfig", "kind: Secret")),
    /: encryption-config\.yaml: kind: must be one of EncryptionConfig, EncryptionConfiguration$/,
  ],
  [
    "the encryption key has the wrong length",
    (folder) => edit(folder, "encryption-config.yaml", (text) => text.replace(/secret: .*/, "secret: c2hvcnQ=")),
    /: encryption-config\.yaml: resources\[0\]\.providers\[0\]\.aescbc\.keys\[0\]\.secret: has 5 bytes, not 16 or 24 or 32$/,
  ],
  [
    "the encryption key is an unexpanded shell variable",
    (folder) =>
      edit(folder, "encryption-config.yaml", (text) => text.replace(/secret: .*/, "secret: ${ENCRYPTION_KEY}")),
    /secret: is not base64$/,
  ],
  [
    "the encryption config has the wrong apiVersion for its kind",
    (folder) =>
      edit(folder, "encryption-config.yaml", (text) =>
        text.replace("apiVersion: v1", "apiVersion: apiserver.config.k8s.io/v1"),
      ),
    /: encryption-config\.yaml: apiVersion: must be v1 for kind EncryptionConfig$/,
  ],
  [
    "an encryption key has no name",
    (folder) => edit(folder, "encryption-config.yaml", (text) => text.replace("- name: key1", "- nome: key1")),
    /: encryption-config\.yaml: resources\[0\]\.providers\[0\]\.aescbc\.keys\[0\]\.name: is missing$/,
  ],
  [
    "the encryption config names a provider that does not exist",
    (folder) => edit(folder, "encryption-config.yaml", (text) => text.replace("- aescbc:", "- aesxyz:")),
    /: encryption-config\.yaml: resources\[0\]\.providers\[0\]: must have exactly one of aescbc, aesgcm, /,
  ],
  [
    "an encryption provider has no keys",
    (folder) =>
      edit(folder, "encryption-config.yaml", (text) => text.replace(/keys:\n[^]*?( {6}- identity)/, "keys: []\n$1")),
    /: encryption-config\.yaml: resources\[0\]\.providers\[0\]\.aescbc: has no keys$/,
  ],
  [
    "the encryption config uses a wildcard that the release does not support",
    (folder) => edit(folder, "encryption-config.yaml", (text) => text.replace("- secrets", "- '*.*'")),
    /: encryption-config\.yaml: resources: does not include secrets$/,
  ],
  [
    "a KMS provider uses an API version that the release does not accept",
    (folder) =>
      edit(folder, "encryption-config.yaml", (text) =>
        text.replace("- identity: {}", "- kms: {name: x, apiVersion: v2, endpoint: 'unix:///run/x'}"),
      ),
    /: encryption-config\.yaml: resources\[0\]\.providers\[1\]\.kms\.apiVersion: is v2, which 1\.21 does not accept$/,
  ],
  [
    "a certificate's key is too short",
    (folder) => issue(folder, "kubernetes", { ...serving, bits: 1024 }),
    /: kubernetes\.pem: publicKey: is RSA with 1024 bits, but needs at least 2048$/,
  ],
  [
    "a certificate is signed with SHA-1",
    (folder) => issue(folder, "kubernetes", { ...serving, digest: "sha1" }),
    /: kubernetes\.pem: signatureAlgorithm: is SHA-1, which current TLS does not accept$/,
  ],
  [
    "a certificate's key usage does not allow signatures",
    (folder) => issue(folder, "kubernetes", { ...serving, extensions: { keyUsage: "critical,keyEncipherment" } }),
    /: kubernetes\.pem: keyUsage: does not allow digitalSignature$/,
  ],
  [
    "the API server's certificate is valid only for servers",
    (folder) => issue(folder, "kubernetes", { ...serving, extensions: { extendedKeyUsage: "serverAuth" } }),
    /: kubernetes\.pem: extendedKeyUsage: does not allow clientAuth$/,
  ],
  [
    "the CA is not allowed to sign certificates",
    async (folder) => {
      await makeAuthority(folder, "cRLSign");
    },
    /ca\.pem: keyUsage: does not allow keyCertSign/,
  ],
  [
    "secrets are not encrypted",
    (folder) => edit(folder, "encryption-config.yaml", (text) => text.replace("- secrets", "- configmaps")),
    /: encryption-config\.yaml: resources: does not include secrets$/,
  ],
];

for (const [title, change, message] of cases) {
  t.test(`${title}: the error names the file and the field, but shows no content`, async (t) => {
    const error = await refusal(await spoilt(change));
    t.equal(error.code, "CREDENTIAL_INVALID");
    t.match(error.message, message);
    for (const secret of await secretsIn(sound))
      t.notOk(error.message.includes(secret), "the error contains no secret");
  });
}

t.test("if the folder has a signing CA, the key of the cluster CA is not used and may be missing", async (t) => {
  const folder = await spoilt(async (folder) => {
    const { certificate, key } = await createClusterAuthority("signing", { algorithm: "ecdsa", days: 100 }, new Date());
    await writeFile(join(folder, "signing-ca.pem"), certificate);
    await writeFile(join(folder, "signing-ca-key.pem"), key);
  });
  const { credentials } = await read(folder);
  t.same(
    credentials.map(({ name }) => name),
    credentialSet({ signing: true }),
  );
  const bundle = String(credentials.find(({ name }) => name === "ca-bundle.pem")?.content);
  const text = async (name: string) => readFile(join(folder, name), "utf8");
  t.equal(bundle, `${await text("ca.pem")}${await text("signing-ca.pem")}`);
  await rm(join(folder, "ca-key.pem"));
  t.equal((await read(folder)).credentials.length, 11);
  await cp(join(folder, "admin-key.pem"), join(folder, "signing-ca-key.pem"));
  t.match((await refusal(folder)).message, /: signing-ca-key\.pem: is not the key of signing-ca\.pem$/);
});

t.test("the front-proxy CA must differ from the cluster CA and must have issued the client certificate", async (t) => {
  const aggregated = join(root, "aggregated");
  await cp(sound, aggregated, { recursive: true });
  const pki = { algorithm: "ecdsa", days: 100, caDays: 200 } as const;
  const write = async (folder: string, files: NewFiles) => {
    for (const [name, content] of Object.entries(files)) await writeFile(join(folder, name), content);
  };
  await write(aggregated, await createFrontProxy(new Map(), pki, new Date()));
  const problems = async (folder: string) =>
    read(folder, { "--aggregation": true }).then(
      ({ credentials }) => credentials.map(({ name }) => name),
      (error: unknown) => (error instanceof KhwError ? error.message : String(error)),
    );
  t.strictSame(await problems(aggregated), credentialSet({ aggregation: true }));
  t.match(await problems(sound), /front-proxy-ca\.pem: is missing \(create missing files with .* --aggregation/);
  for (const [change, message] of [
    [
      async (folder: string) => cp(join(folder, "ca.pem"), join(folder, "front-proxy-ca.pem")),
      /front-proxy-ca\.pem: publicKey: is the key of a CA that identifies clients/,
    ],
    [
      async (folder: string) => {
        const { certificate, key } = await createClusterAuthority("signing", pki, new Date());
        const authority = { "signing-ca.pem": certificate, "signing-ca-key.pem": key };
        await write(folder, { ...authority, "front-proxy-ca.pem": certificate });
      },
      /front-proxy-ca\.pem: publicKey: is the key of a CA that identifies clients/,
    ],
    [
      async (folder: string) => write(folder, await createFrontProxy(new Map(), pki, new Date()).then(onlyAuthority)),
      /front-proxy-client\.pem: issuer: was not issued by the CA in front-proxy-ca\.pem/,
    ],
    [
      async (folder: string) => cp(join(folder, "admin.pem"), join(folder, "front-proxy-client.pem")),
      /front-proxy-client\.pem: subject\.CN: is admin, not front-proxy-client/,
    ],
    [
      async (folder: string) => cp(join(folder, "admin-key.pem"), join(folder, "front-proxy-client-key.pem")),
      /front-proxy-client-key\.pem: is not the key of front-proxy-client\.pem/,
    ],
  ] as const) {
    const folder = join(root, `copy-${copies++}`);
    await cp(aggregated, folder, { recursive: true });
    await change(folder);
    t.match(await problems(folder), message);
  }
});

function onlyAuthority(files: NewFiles): NewFiles {
  return Object.fromEntries(Object.entries(files).filter(([name]) => name.startsWith("front-proxy-ca")));
}

t.test("a usable but imperfect file causes a warning instead of an error", async (t) => {
  const folder = await spoilt(async (folder) => {
    await issue(folder, "kubernetes", { ...serving, days: 12 });
    await edit(folder, "encryption-config.yaml", (text) =>
      text.replace("      - identity: {}\n", "").replace("providers:\n", "providers:\n      - identity: {}\n"),
    );
  });
  const { warnings } = await read(folder);
  t.match(warnings, [
    { file: "kubernetes.pem", field: "notAfter", what: /^expires in 1[12] days, on /, severity: "warning" },
    { file: "encryption-config.yaml", field: "resources[0].providers[0]", what: /^is identity, /, severity: "warning" },
  ]);
  t.equal(warnings.length, 2);
  t.same((await read(sound)).warnings, []);
});

t.test("a KMS plugin that khw.yaml names but the encryption config does not use is reported as a warning", (t) => {
  const plugin = { name: "vault", socket: "/run/kms/socket", unit: "vault.service", timeoutMillis: 3000 };
  const secretbox = `{secretbox: {keys: [{name: a, secret: ${Buffer.alloc(32).toString("base64")}}]}}`;
  const kms = (endpoint: string) =>
    `{kms: {apiVersion: v2, name: vault, endpoint: "unix://${endpoint}", timeout: 3000ms}}`;
  const checked = (use: { kms?: typeof plugin }, ...providers: readonly string[]) => {
    const head = "kind: EncryptionConfiguration\napiVersion: apiserver.config.k8s.io/v1\n";
    const content = Buffer.from(`${head}resources: [{resources: [secrets], providers: [${providers.join(", ")}]}]`);
    return collect(encryptionConfigIsSound("f", content, { kubernetesVersion: "v1.29.0", ...use })).problems.map(
      ({ what, severity }) => `${severity} ${what}`,
    );
  };
  const found = (...providers: readonly string[]) => checked({ kms: plugin }, ...providers);
  t.same(found(kms("/run/kms/socket"), secretbox), []);
  t.match(found(secretbox), [/^warning does not encrypt with the KMS plugin vault/]);
  t.match(
    found(secretbox, kms("/run/kms/socket")),
    [/^warning does not encrypt/],
    "the warning also appears while a move is in progress",
  );
  t.match(found(kms("/run/other"), secretbox), [/^warning differs from the settings/]);
  const unwatched = /^warning has the KMS plugin vault, which encryption\.kms does not name/;
  t.match(checked({}, kms("/run/kms/socket"), secretbox), [unwatched]);
  const renamed = checked({ kms: { ...plugin, name: "new" } }, kms("/run/kms/socket"), secretbox);
  t.match(renamed, [unwatched, /^warning does not encrypt with the KMS plugin new/]);
  t.same(checked({}, secretbox), []);
  t.end();
});

t.test("the allowed entries of the encryption config depend on the release", (t) => {
  const config = (resource: string, provider: string) =>
    Buffer.from(
      `kind: EncryptionConfiguration\napiVersion: apiserver.config.k8s.io/v1\nresources: [{resources: ['${resource}'], providers: [${provider}]}]`,
    );
  const found = (content: Buffer, version: string) =>
    collect(encryptionConfigIsSound("f", content, { kubernetesVersion: version })).problems.flatMap(
      ({ what, severity }) => (severity === "warning" ? [] : what),
    );
  const kms = (version: string) => config("secrets", `{kms: {apiVersion: ${version}, name: x, endpoint: "unix:///x"}}`);
  const secretbox = `{secretbox: {keys: [{name: a, secret: ${Buffer.alloc(32).toString("base64")}}]}}`;
  t.same(found(config("*.*", secretbox), "v1.26.0"), ["does not include secrets"]);
  t.same(found(config("*.*", secretbox), "v1.27.0"), []);
  t.same(found(kms("v1"), "v1.28.0"), []);
  t.same(found(kms("v1"), "v1.29.0"), ["is v1, which 1.29 accepts only with the feature gate KMSv1"]);
  t.same(found(kms("v2"), "v1.27.0"), []);
  const v2 = (fields: string) => `{kms: {apiVersion: v2, endpoint: "unix:///x", ${fields}}}`;
  t.same(found(config("secrets", v2("name: 'a:b'")), "v1.29.0"), ["contains a colon"]);
  t.same(found(config("secrets", v2("name: a, cachesize: 10")), "v1.29.0"), ["is not supported by v2"]);
  t.same(found(config("secrets", `${v2("name: a")}, ${v2("name: a")}`), "v1.29.0"), [
    "is also the name of another KMS plugin",
  ]);
  t.same(found(config("secrets", `{secretbox: {keys: [{name: a, secret: AAAA}]}}`), "v1.21.0"), [
    "has 3 bytes, not 32",
  ]);
  t.end();
});

t.test("all problems are reported together, each with its remedy", async (t) => {
  const folder = await spoilt(async (folder) => {
    await rm(join(folder, "service-account.pem"));
    await issue(folder, "kubernetes", { days: -1, authority: strange });
    await writeFile(join(folder, "kube-scheduler.kubeconfig"), "");
  });
  const { message } = await refusal(folder);
  const [first, ...lines] = message.split("\n");
  t.equal(first, `credentials in ${folder}: 5 problems`);
  t.match(lines, [
    /^ {2}service-account\.pem: is missing \(.+\)$/,
    /^ {2}kubernetes\.pem: notAfter: expired on .+ \(.+\)$/,
    /^ {2}kubernetes\.pem: issuer: .+ \(.+\)$/,
    /^ {2}kubernetes\.pem: subjectAltName: lacks 203\.0\.113\.10 \(the public address\), 10\.240\.0\.10 .+ \(.+\)$/,
    /^ {2}kube-scheduler\.kubeconfig: is not a kubeconfig: it is .+ \(.+\)$/,
  ]);
});

t.test("a certificate that is not valid yet is reported with this machine's time", async (t) => {
  const names = [...credentialNames, "admin.kubeconfig"] as const;
  const files = new Map(
    await Promise.all(names.map(async (name) => [name, await readFile(join(sound, name))] as const)),
  );
  const findings = checkCredentials(
    files,
    { controllers, publicAddress, serviceCidr: "10.32.0.0/24", kubernetesVersion: "v1.21.0" },
    { now: new Date(0) },
  );
  const early = collect(findings).problems.filter(({ field }) => field?.endsWith("notBefore"));
  t.equal(early.length, 8, "eight certificates are not yet valid: the CA, kubernetes.pem, and two in each kubeconfig");
  t.match(early[0], {
    file: "ca.pem",
    what: /^is not valid before .+, and this machine's clock says 1970-01-01T00:00:00\.000Z$/,
  });
});

t.test("another CA with the same name is not accepted as the cluster CA", async (t) => {
  const folder = await spoilt((folder) => cp(strange, folder, { recursive: true }));
  const { message } = await refusal(folder);
  t.match(message, /kubernetes\.pem: issuer: was not issued by the CA in ca\.pem/);
});

t.test("the admin's kubeconfig may be in another folder", async (t) => {
  const folder = await spoilt((folder) => rm(join(folder, "admin.kubeconfig")));
  const origin = { label: "", code: "CONFIG_INVALID", folder } as const;
  const flags = new Map([["--admin-kubeconfig", join(sound, "admin.kubeconfig")]]);
  const config = parseConfig({ kind: "empty", origin }, { flags, folder });
  t.same(
    (await readCredentials(config, { controllers, publicAddress })).admin.key,
    await readFile(join(sound, "admin-key.pem")),
  );
});

/** Returns parts of every private key and of the encryption key. */
async function secretsIn(folder: string): Promise<readonly string[]> {
  const keys = (await readdir(folder)).filter((name) => name.endsWith("-key.pem"));
  const pieces = await Promise.all(
    keys.map(async (name) => (await readFile(join(folder, name), "utf8")).split("\n")[3] ?? ""),
  );
  const [, secret = ""] = /secret: (.*)/.exec(await readFile(join(folder, "encryption-config.yaml"), "utf8")) ?? [];
  return [...pieces, secret].filter((piece) => piece !== "");
}
