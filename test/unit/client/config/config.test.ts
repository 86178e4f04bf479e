import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { releasesIn, wantedReleases } from "../../../../client/release/releases.ts";
import { labReleases } from "../../../../client/config/releases.ts";
import { toDesired, withoutContent } from "../../../../client/config/desired.ts";
import { computeConnection, loadBalancerConfig } from "../../../../client/config/load-balancer.ts";
import { type ConfigSources, loadConfig } from "../../../../client/config/load.ts";
import { kmsOf, refuseKmsBefore } from "../../../../client/config/encryption.ts";
import { defaultYaml, referenceMarkdown } from "../../../../client/config/print.ts";
import { type ClusterConfig, schema } from "../../../../client/config/schema.ts";
import { settingsOf } from "../../../../client/config/setting.ts";
import type { Data } from "../../../../client/config/value.ts";
import { labLoadBalancer } from "../../../../client/gce/config.ts";
import { parseDesiredState } from "../../../../proto/desired.ts";
import { KhwError } from "../../../../proto/errors.ts";
import { controllers, labState, publicAddress } from "../../../fixtures/lab-cluster.ts";

const root = await mkdtemp(join(tmpdir(), "khw-config-"));
t.teardown(() => rm(root, { recursive: true }));

const labEtcd = {
  version: "v3.4.15",
  mirrors: ["https://github.com/etcd-io/etcd/releases/download", "https://storage.googleapis.com/etcd"],
  sha256: {},
  strict: false,
  dedicatedDisk: false,
  snapshots: { intervalSeconds: 3600, keep: 24, bucket: "" },
};

/**
 * Loads a khw.yaml with this text and these flags, without any real gcloud configuration. If the text is undefined,
 * there is no khw.yaml.
 */
async function load(text?: string, flags: Readonly<Record<string, Data>> = {}, more: Partial<ConfigSources> = {}) {
  const folder = await mkdtemp(join(root, "case-"));
  if (text !== undefined) await writeFile(join(folder, "khw.yaml"), text);
  const config = await loadConfig({ flags: new Map(Object.entries(flags)), folder, env: { HOME: folder }, ...more });
  return { config, folder };
}

async function refusal(text?: string, flags: Readonly<Record<string, Data>> = {}): Promise<KhwError> {
  try {
    await load(text, flags);
  } catch (error) {
    if (error instanceof KhwError) return error;
    throw error;
  }
  throw new Error("the configuration was accepted");
}

t.test("without khw.yaml and without flags, the configuration is the same as in the lab", async (t) => {
  const { config, folder } = await load();
  t.match(config, {
    nodes: [],
    kubernetes: {
      version: undefined,
      mirrors: ["https://dl.k8s.io/release", "https://storage.googleapis.com/kubernetes-release/release"],
    },
    cluster: {
      name: "kubernetes",
      serviceCidr: "10.32.0.0/24",
      clusterCidr: "10.200.0.0/16",
      nodePortRange: "30000-32767",
    },
    gce: { network: "kubernetes-the-hard-way", address: "kubernetes-the-hard-way", createAddress: false },
    aggregation: false,
    tlsBootstrap: false,
    loadBalancer: "gce",
  });
  t.equal(config.credentials.folder, folder);
  t.equal(config.management.key, join(folder, "khw-pki", "admin-key.pem"));
});

t.test("the output of config default contains exactly the default values", async (t) => {
  const bare = await load();
  const printed = await load(defaultYaml());
  t.same(relocated(printed.config, printed.folder), relocated(bare.config, bare.folder));
  for (const { path, setting } of settingsOf(schema)) {
    t.ok(defaultYaml().includes(`${path.at(-1)}:`), `the default khw.yaml includes ${path.join(".")}`);
    t.ok(setting.help.length > 10, `${path.join(".")} has a help text`);
  }
});

function relocated(config: ClusterConfig, folder: string): unknown {
  return JSON.parse(JSON.stringify(config).replaceAll(folder, "."));
}

t.test("docs/configuration.md has the current table of all settings", async (t) => {
  const docs = await readFile(new URL("../../../../docs/configuration.md", import.meta.url), "utf8");
  t.ok(
    docs.includes(referenceMarkdown()),
    "docs/configuration.md has the table that `khw-client config reference` prints",
  );
});

t.test("no two settings share a flag", async (t) => {
  const flags = settingsOf(schema).map(({ setting }) => setting.flag.name);
  t.equal(new Set(flags).size, flags.length);
});

t.test("khw.yaml overrides the defaults, and flags override khw.yaml", async (t) => {
  const text = "kubernetes: {version: v1.22.1, mirrors: [/srv/mirror]}\ncluster: {name: mine}\n";
  const { config } = await load(text, { "--cluster-name": "yours", "--mirror": ["https://a.example", "file:///b"] });
  t.equal(config.kubernetes.version, "v1.22.1");
  t.equal(config.cluster.name, "yours");
  t.same(config.kubernetes.mirrors, ["https://a.example", "file:///b"]);
});

t.test("scalar values of flags are kept exactly as written", async (t) => {
  const flags =
    "kubernetes: {flags: {kube-apiserver: {v: 4, allow-privileged: false, event-ttl: 1_0h, profiling: 010}}}";
  const { config } = await load(flags);
  t.same(config.kubernetes.flags["kube-apiserver"], {
    v: "4",
    "allow-privileged": "false",
    "event-ttl": "1_0h",
    profiling: "010",
  });
});

t.test("null removes a program's flag, and flags on the command line are added to those in khw.yaml", async (t) => {
  const text = "kubernetes: {flags: {kube-apiserver: {v: 4, audit-log-path: null, event-ttl: ~}}}";
  const { config } = await load(text, {
    "--kube-apiserver-flag": { "event-ttl": "2h", "service-account-issuer": null },
  });
  t.same(config.kubernetes.flags["kube-apiserver"], {
    v: "4",
    "audit-log-path": null,
    "event-ttl": "2h",
    "service-account-issuer": null,
  });
});

t.test("workers are read from khw.yaml and the command line, with or without addresses", async (t) => {
  const text =
    "pki: {workers: {worker-0: [10.0.0.1, worker-0.example], worker-1: 10.0.0.2, worker-2: }, extraNames: api.example.com}";
  const { config } = await load(text, { "--worker": { "worker-1": "10.0.0.3, 10.0.0.4", "worker-3": null } });
  t.same(config.pki.workers, {
    "worker-0": ["10.0.0.1", "worker-0.example"],
    "worker-1": ["10.0.0.3", "10.0.0.4"],
    "worker-2": [],
    "worker-3": [],
  });
  t.same(config.pki.extraNames, ["api.example.com"]);
  t.same((await load("")).config.pki, {
    algorithm: "rsa",
    days: 365,
    caDays: 1825,
    extraNames: [],
    workers: {},
    encryptionProvider: "aescbc",
    separateSigningCa: false,
    separateEtcdCa: false,
  });
});

t.test("nodes can be written as a shorthand string, as a list, or as maps", async (t) => {
  const short = await load("nodes: controller-0,1,2");
  t.same(
    short.config.nodes.map(({ name }) => name),
    ["controller-0", "controller-1", "controller-2"],
  );
  const mixed = await load(
    "nodes:\n- a-{0..1}\n- {name: b, host: 'fd00::1', port: 8443, internalIp: 10.0.0.9}\n- c=h:1\n",
  );
  t.same(mixed.config.nodes, [
    { name: "a-0", host: undefined, port: 7443 },
    { name: "a-1", host: undefined, port: 7443 },
    { name: "b", host: "fd00::1", port: 8443, internalIp: "10.0.0.9" },
    { name: "c", host: "h", port: 1 },
  ]);
});

t.test("values of a node that --nodes omits are taken from khw.yaml", async (t) => {
  const text =
    "nodes: [{name: a, host: a.example, internalIp: 10.0.0.1}, {name: b, host: b.example, internalIp: 10.0.0.2}]";
  const { config } = await load(text, { "--nodes": "b,a=other:8443,c" });
  t.same(config.nodes, [
    { name: "b", host: "b.example", port: 7443, internalIp: "10.0.0.2" },
    { name: "a", host: "other", port: 8443, internalIp: "10.0.0.1" },
    { name: "c", host: undefined, port: 7443 },
  ]);
});

t.test(
  "relative paths start at the folder of khw.yaml if they are set there, and at the current folder if they are set by flags",
  async (t) => {
    const folder = await mkdtemp(join(root, "paths-"));
    await mkdir(join(folder, "clusters"));
    await writeFile(join(folder, "clusters", "one.yaml"), "credentials: {folder: certs}\ngce: {auth: key.json}\n");
    const flags = new Map([["--admin-kubeconfig", "mine/admin.kubeconfig"]]);
    const config = await loadConfig({ file: "clusters/one.yaml", flags, folder, env: { HOME: folder } });
    t.equal(config.credentials.folder, join(folder, "clusters", "certs"));
    t.equal(config.credentials.adminKubeconfig, join(folder, "mine", "admin.kubeconfig"));
    t.equal(config.management.ca, join(folder, "clusters", "khw-pki", "ca.pem"));
    t.equal(config.gce.auth, join(folder, "clusters", "key.json"));
  },
);

t.test("durations are converted to milliseconds", async (t) => {
  const { config } = await load("timeouts: {node: 90s, compute: 2m, verify: 1h}");
  t.match(config.timeouts, { node: 90_000, compute: 120_000, verify: 3_600_000 });
});

const refused: readonly [title: string, text: string, message: string, hint?: string][] = [
  ["no YAML", "nodes: [a\nkubernetes: {}", "khw.yaml:2:1: "],
  ["a repeated key", "cluster:\n  name: a\n  name: b\n", "khw.yaml:3:3: this key is repeated"],
  ["two documents", "nodes: a\n---\nnodes: b\n", "khw.yaml:2:1: "],
  [
    "a tag",
    "cluster: {name: !!binary YQ==}",
    "khw.yaml:1:26: cluster.name: the tag tag:yaml.org,2002:binary is not supported",
  ],
  [
    "an unknown key",
    "kubernetes:\n  versoin: v1.21.0\n",
    "khw.yaml:2:3: kubernetes.versoin: there is no such key",
    "did you mean version?",
  ],
  [
    "an unknown key with no similar known key",
    "zzzzzzzz: 1",
    "khw.yaml:1:1: zzzzzzzz: there is no such key",
    "known keys: profile, nodes, kubernetes, cluster, files, manifests, audit, authentication, oidc, authorization, admission, hardening, encryption, etcd, credentials, pki, management, enrolment, supervision, aggregation, tlsBootstrap, loadBalancer, gce, timeouts",
  ],
  [
    "a worker whose certificate would have the name of another file of the cluster",
    "pki: {workers: {kube-proxy: []}}",
    'khw.yaml:1:17: pki.workers.kube-proxy: "kube-proxy" is not a valid name for a worker: kube-proxy.pem is another file of the cluster',
  ],
  [
    "a worker whose certificate would have the name of another certificate's key",
    "pki: {workers: {admin-key: []}}",
    'khw.yaml:1:17: pki.workers.admin-key: "admin-key" is not a valid name for a worker: admin-key.pem is another file of the cluster',
  ],
  [
    "an invalid worker address",
    "pki: {workers: {worker-0: [10.0.0.1, a_b]}}",
    'khw.yaml:1:38: pki.workers.worker-0[1]: "a_b" is neither an IP address nor a DNS name',
  ],
  [
    "an invalid additional name",
    "pki: {extraNames: ['*.example.com']}",
    'khw.yaml:1:20: pki.extraNames[0]: "*.example.com" is neither an IP address nor a DNS name',
  ],
  [
    "an invalid number of days",
    "pki: {days: 0}",
    'khw.yaml:1:13: pki.days: "0" is not a number of days',
    "use a number from 1 to 36500",
  ],
  [
    "an unknown algorithm",
    "pki: {algorithm: ed25519}",
    'khw.yaml:1:18: pki.algorithm: "ed25519" is not one of rsa, ecdsa',
  ],
  [
    "an unknown component",
    "kubernetes: {flags: {kube-apisever: {}}}",
    "khw.yaml:1:22: kubernetes.flags.kube-apisever: there is no such key",
    "did you mean kube-apiserver?",
  ],
  ["a list in place of a map", "cluster: [a]", "khw.yaml:1:10: cluster: expected a map, found a list"],
  [
    "a map in place of a string",
    "cluster: {name: {a: b}}",
    "khw.yaml:1:17: cluster.name: expected a string, found a map",
  ],
  [
    "an invalid version",
    "kubernetes: {version: v9.99.0}",
    'khw.yaml:1:23: kubernetes.version: "v9.99.0" is not a release that khw can run',
  ],
  [
    "a shell's command",
    'kubernetes: {version: "1.21.0; rm -rf /"}',
    'khw.yaml:1:23: kubernetes.version: "1.21.0; rm -rf /" is not a Kubernetes release',
  ],
  [
    "a network with host bits",
    "cluster: {serviceCidr: 10.32.0.1/24}",
    'khw.yaml:1:24: cluster.serviceCidr: "10.32.0.1/24" has host bits set',
    "use the network 10.32.0.0/24",
  ],
  [
    "networks that overlap",
    "cluster: {serviceCidr: 10.200.1.0/24}",
    "cluster.serviceCidr 10.200.1.0/24 overlaps cluster.clusterCidr 10.200.0.0/16",
  ],
  [
    "an invalid port range",
    "cluster: {nodePortRange: 3-2}",
    'khw.yaml:1:26: cluster.nodePortRange: "3-2" is not a port range',
  ],
  [
    "an invalid address",
    "cluster: {publicAddress: 1.2.3}",
    'khw.yaml:1:26: cluster.publicAddress: "1.2.3" is not an IPv4 address',
  ],
  [
    "etcd in plaintext",
    "cluster: {etcdServers: ['http://10.0.0.1:2379']}",
    'khw.yaml:1:25: cluster.etcdServers[0]: "http://10.0.0.1:2379" is not a URL with the scheme https',
  ],
  ["no mirror", "kubernetes: {mirrors: []}", "khw.yaml:1:23: kubernetes.mirrors: the list is empty"],
  [
    "a mirror with a relative path",
    "kubernetes: {mirrors: [mirror]}",
    'khw.yaml:1:24: kubernetes.mirrors[0]: "mirror" is not a URL',
  ],
  [
    "an invalid digest",
    "kubernetes: {sha256: {kubectl: abc}}",
    'khw.yaml:1:32: kubernetes.sha256.kubectl: "abc" is not a SHA-256 digest in lower-case hex',
  ],
  [
    "a program that khw does not install",
    "kubernetes: {sha256: {kubelet: abc}}",
    'khw.yaml:1:23: kubernetes.sha256.kubelet: "kubelet" is not a program that khw installs',
  ],
  [
    "a flag with dashes",
    "kubernetes: {flags: {kube-scheduler: {--v: 1}}}",
    'khw.yaml:1:39: kubernetes.flags.kube-scheduler.--v: "--v" cannot be a flag name',
  ],
  [
    "a flag with a line break",
    'kubernetes: {flags: {kube-scheduler: {v: "1\\nExecStart=/bin/sh"}}}',
    'khw.yaml:1:42: kubernetes.flags.kube-scheduler.v: "1\\nExecStart=/bin/sh" contains a control character or a line break (U+000A)',
  ],
  [
    "an invalid choice",
    "loadBalancer: gcp",
    'khw.yaml:1:15: loadBalancer: "gcp" is not one of gce, none',
    "did you mean gce?",
  ],
  [
    "an invalid switch",
    "gce: {createAddress: yes}",
    'khw.yaml:1:22: gce.createAddress: "yes" is neither true nor false',
  ],
  ["an invalid duration", "timeouts: {node: 10}", 'khw.yaml:1:18: timeouts.node: "10" is not a duration'],
  ["a duration of 0", "timeouts: {node: 0s}", 'khw.yaml:1:18: timeouts.node: "0s" is not between 1ms and 24h'],
  ["an invalid project", "gce: {project: A/../b}", 'khw.yaml:1:16: gce.project: "A/../b" is not a project id'],
  [
    "an invalid resource name",
    "gce: {targetPool: a/b}",
    'khw.yaml:1:19: gce.targetPool: "a/b" cannot be a resource\'s name',
  ],
  ["a node without a name", "nodes: [{host: a}]", "khw.yaml:1:9: nodes[0]: a node needs a name"],
  [
    "a node with an invalid port",
    "nodes:\n  - {name: a, port: 70000}",
    'khw.yaml:2:21: nodes[0].port: "70000" is not a port',
  ],
  [
    "a node with an invalid host",
    "nodes: [{name: a, host: a/b}]",
    'khw.yaml:1:25: nodes[0].host: "a/b" is not a host name or an address',
  ],
  [
    "a node with an unknown key",
    "nodes: [{name: a, hots: b}]",
    "khw.yaml:1:19: nodes[0].hots: there is no such key",
    "did you mean host?",
  ],
  ["a repeated node", "nodes: [a, b, {name: a}]", 'khw.yaml:1:15: nodes[2]: "a" is repeated'],
  [
    "a repeated address",
    "nodes: [{name: a, internalIp: 10.0.0.1}, {name: b, internalIp: 10.0.0.1}]",
    "khw.yaml:1:42: nodes[1]: b has the internal address of a",
  ],
  [
    "an anchor that does not exist",
    "cluster: {name: *nothing}",
    "khw.yaml:1:17: cluster.name: this anchor does not exist",
  ],
];

t.test("an invalid khw.yaml is refused with the line, the column and the key", async (t) => {
  for (const [title, text, message, hint] of refused) {
    const error = await refusal(text);
    t.equal(error.code, "CONFIG_INVALID", title);
    t.ok(error.message.startsWith(message), `the error for ${title} starts as expected: ${error.message}`);
    if (hint !== undefined) t.equal(error.hint, hint, title);
  }
});

t.test("all errors are reported at once, including those in flags", async (t) => {
  const error = await refusal("kubernetes: {version: 1.21}\ntimeouts:\n  nod: 1s\n", {
    "--proxy": "ftp://x",
    "--nodes": "a,a",
  });
  t.same(error.message.split("\n"), [
    '--nodes: "a" is repeated',
    "  a,a",
    "    ^",
    'khw.yaml:1:23: kubernetes.version: "1.21" is not a Kubernetes release (for example v1.21.0)',
    '--proxy: "ftp://x" is not a URL with the scheme https or http',
    "khw.yaml:3:3: timeouts.nod: there is no such key (did you mean node?)",
  ]);
});

t.test("an invalid value of a command-line flag is reported as an invalid argument", async (t) => {
  const error = await refusal(undefined, { "--kubernetes-version": "v1.2" });
  t.equal(error.code, "INVALID_ARGUMENT");
  t.match(error.message, /^--kubernetes-version: "v1\.2" is not/);
});

t.test("a missing file named by --config is an error", async (t) => {
  await t.rejects(load(undefined, {}, { file: "nowhere.yaml" }), {
    code: "CONFIG_INVALID",
    message: /^nowhere\.yaml cannot be read: ENOENT/,
  });
});

t.test("project, region and zone default to the values from gcloud", async (t) => {
  const home = await mkdtemp(join(root, "gcloud-"));
  const gcloud = join(home, ".config", "gcloud");
  await mkdir(join(gcloud, "configurations"), { recursive: true });
  await writeFile(join(gcloud, "active_config"), "lab\n");
  await writeFile(
    join(gcloud, "configurations", "config_lab"),
    "[core]\naccount = someone@example.com\nproject = from-file\n\n[compute]\nzone = us-west1-c\n",
  );
  const place = async (text: string, env: ConfigSources["env"]) =>
    (await load(text, {}, { env: { HOME: home, ...env } })).config.gce;
  t.match(await place("", {}), { project: "from-file", region: "us-west1", zone: "us-west1-c" });
  const env = { CLOUDSDK_CORE_PROJECT: "from-env", CLOUDSDK_COMPUTE_REGION: "europe-west1" };
  t.match(await place("", env), { project: "from-env", region: "europe-west1", zone: "us-west1-c" });
  t.match(await place("gce: {project: from-khw}", env), { project: "from-khw", region: "europe-west1" });
});

t.test("the load balancer is configured as in the lab, with the names from khw.yaml", async (t) => {
  const { config } = await load("gce: {project: my-project, region: us-west1, targetPool: mine, createAddress: true}");
  const instances = [{ name: "controller-0", zone: "us-west1-c" }];
  t.same(loadBalancerConfig(config, instances), {
    ...labLoadBalancer,
    project: "my-project",
    region: "us-west1",
    targetPool: "mine",
    createAddress: true,
    instances,
  });
  t.same(computeConnection(config), {
    project: "my-project",
    endpoint: "https://compute.googleapis.com/compute/v1/",
    auth: "auto",
  });
  const { config: nowhere } = await load("gce: {project: my-project}");
  t.throws(() => loadBalancerConfig(nowhere, instances), {
    code: "CONFIG_INVALID",
    message: "gce.region is unknown",
  });
});

t.test("the desired state of each node is accepted by its agent", async (t) => {
  const { credentials } = parseDesiredState(labState());
  const text = `kubernetes:
  mirrors: https://dl.k8s.io/release
  flags: {kube-apiserver: {event-ttl: 2h, audit-log-path: null}}
`;
  const { config } = await load(text);
  const desired = await toDesired(config, { controllers, publicAddress, releases: labReleases }, credentials);
  t.same([...desired.keys()], ["controller-0", "controller-1", "controller-2"]);
  const flags = { "kube-apiserver": { set: { "event-ttl": "2h" }, remove: ["audit-log-path"] } };
  for (const [node, state] of desired) t.same(state, labState({ node, flags, etcd: labEtcd }));
  for (const { content } of withoutContent(labState()).credentials) t.equal(content, undefined);
});

t.test(
  "emulating a release adds a flag to all three components, but a flag from khw.yaml takes precedence",
  async (t) => {
    const { credentials } = parseDesiredState(labState());
    const { config } = await load("kubernetes: {flags: {kube-scheduler: {emulated-version: '1.30', v: 4}}}");
    const releases = { kubernetes: "v1.32.1", etcd: "v3.5.30", emulated: "1.31" };
    const desired = await toDesired(config, { controllers, publicAddress, releases }, credentials);
    t.strictSame(desired.get("controller-0")?.flags, {
      "kube-apiserver": { set: { "emulated-version": "1.31" }, remove: [] },
      "kube-controller-manager": { set: { "emulated-version": "1.31" }, remove: [] },
      "kube-scheduler": { set: { "emulated-version": "1.30", v: "4" }, remove: [] },
    });
  },
);

t.test("tlsBootstrap adds two flags, but flags from khw.yaml take precedence", async (t) => {
  const { credentials } = parseDesiredState(labState());
  const { config } = await load(
    "tlsBootstrap: true\nkubernetes: {flags: {kube-controller-manager: {controllers: '*'}, kube-apiserver: {v: 4}}}",
  );
  const desired = await toDesired(config, { controllers, publicAddress, releases: labReleases }, credentials);
  t.strictSame(desired.get("controller-0")?.flags, {
    "kube-apiserver": { set: { "enable-bootstrap-token-auth": "true", v: "4" }, remove: [] },
    "kube-controller-manager": { set: { controllers: "*" }, remove: [] },
  });
  const { config: plain } = await load("tlsBootstrap: true");
  const flags = (await toDesired(plain, { controllers, publicAddress, releases: labReleases }, credentials)).get(
    "controller-1",
  )?.flags;
  t.match(flags, { "kube-controller-manager": { set: { controllers: "*,bootstrapsigner,tokencleaner" } } });
});

t.test("khw manages etcd unless the configuration names another etcd or says that etcd is external", async (t) => {
  const { credentials } = parseDesiredState(labState());
  const etcdOf = async (text: string) => {
    const { config } = await load(text);
    const releases = wantedReleases(config, releasesIn([]));
    return (await toDesired(config, { controllers, publicAddress, releases }, credentials)).get("controller-0")?.etcd;
  };
  t.match(await etcdOf(""), labEtcd);
  t.match(await etcdOf("etcd: {mode: managed, version: v3.5.9, strict: true}"), { version: "v3.5.9", strict: true });
  t.equal(await etcdOf("etcd: {mode: external}"), undefined);
  t.equal(await etcdOf("cluster: {etcdServers: 'https://192.0.2.1:2379'}"), undefined);
  await t.rejects(load("etcd: {mode: managed}\ncluster: {etcdServers: 'https://192.0.2.1:2379'}"), {
    code: "CONFIG_INVALID",
    message: /etcd\.mode is managed, but cluster\.etcdServers specifies an external etcd/,
  });
  const snapshots = async (text: string) => (await etcdOf(`etcd: {snapshots: ${text}}`))?.snapshots;
  t.match(await snapshots("{interval: 90s, keep: 3, bucket: my-bucket}"), {
    intervalSeconds: 90,
    keep: 3,
    bucket: "my-bucket",
  });
  t.equal(await snapshots("{interval: never}"), undefined);
  await t.rejects(load("etcd: {snapshots: {interval: sometimes}}"), { message: /"sometimes" is not a duration/ });
  await t.rejects(snapshots("{interval: 1s}"), { code: "INVALID_ARGUMENT", message: /interval/ });
  await t.rejects(load("etcd: {snapshots: {keep: 0}}"), { message: /"0" is not a valid number of snapshots/ });
  await t.rejects(load("etcd: {snapshots: {bucket: 'gs://b/path'}}"), { message: /is not a bucket name/ });
  await t.rejects(load("etcd: {version: v2.3.8}"), { message: /v2\.3\.8.* is not a release that khw can run/ });
  await t.rejects(load("etcd: {sha256: {mips: 0}}"), { message: /"mips" is not an architecture/ });
});

t.test("the order of the nodes in khw.yaml does not affect the desired state of any node", async (t) => {
  const { credentials } = parseDesiredState(labState());
  const { config } = await load();
  const one = await toDesired(config, { controllers, publicAddress, releases: labReleases }, credentials);
  const other = await toDesired(
    config,
    { controllers: controllers.toReversed(), publicAddress, releases: labReleases },
    credentials,
  );
  for (const [node, state] of one) t.same(other.get(node), state);
});

t.test("the client refuses a desired state that an agent would refuse", async (t) => {
  const { credentials } = parseDesiredState(labState());
  const { config } = await load();
  const inServices = [{ name: "controller-0", internalIp: "10.32.0.7" }];
  await t.rejects(toDesired(config, { controllers: inServices, publicAddress, releases: labReleases }, credentials), {
    code: "INVALID_ARGUMENT",
    message: /"10\.32\.0\.0\/24" contains 10\.32\.0\.7, the address of controller-0/,
  });
});

t.test("the CA certificates for downloads are copied to the desired state unchanged", async (t) => {
  const { credentials } = parseDesiredState(labState());
  const { config, folder } = await load("kubernetes: {caFile: ca.crt}");
  await t.rejects(toDesired(config, { controllers, publicAddress, releases: labReleases }, credentials), {
    code: "CONFIG_INVALID",
  });
  await writeFile(join(folder, "ca.crt"), "a certificate");
  const desired = await toDesired(config, { controllers, publicAddress, releases: labReleases }, credentials);
  t.equal(desired.get("controller-1")?.binaries?.caPem, "a certificate");
});

t.test("a KMS plugin must be described completely, with a safe name, socket and unit", async (t) => {
  const whole = "encryption: {kms: {name: vault, socket: /run/kms/socket, unit: vault-kms.service}}";
  t.match((await load(whole)).config.encryption.kms, { name: "vault", socket: "/run/kms/socket", timeout: 3000 });
  t.strictSame(kmsOf((await load("")).config.encryption), undefined);
  const refused: readonly [text: string, message: RegExp][] = [
    ["name: vault", /encryption\.kms\.socket and encryption\.kms\.unit must be set too/],
    ["name: 'a:b'", /kms\.name: "a:b" cannot be the name/],
    ["name: on", /"on" cannot be the name/],
    ["socket: kms.sock", /kms\.socket: "kms\.sock" cannot be the path/],
    ["socket: /run/../x", /cannot be the path/],
    [`socket: /${"a".repeat(110)}`, /at most 107/],
    ["unit: kms", /kms\.unit: "kms" cannot be the plugin's unit/],
    ["unit: kube-apiserver.service", /a unit of the control plane/],
  ];
  for (const [text, message] of refused) {
    await t.rejects(load(`encryption: {kms: {${text}}}`), { code: "CONFIG_INVALID", message });
  }
});

t.test("a KMS plugin is refused for Kubernetes releases before 1.27", async (t) => {
  const { config } = await load("encryption: {kms: {name: vault, socket: /run/kms/socket, unit: vault.service}}");
  t.throws(() => refuseKmsBefore(config.encryption, "v1.26.15"), {
    code: "CONFIG_INVALID",
    message: /encryption\.kms needs Kubernetes 1\.27 or later; 1\.26/,
  });
  t.doesNotThrow(() => refuseKmsBefore(config.encryption, "v1.27.0"));
});
