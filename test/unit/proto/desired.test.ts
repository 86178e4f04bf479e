import t from "tap";
import { aggregates, ownController, parseDesiredState, signsSeparately } from "../../../proto/desired.ts";
import type { Cluster, DesiredState } from "../../../proto/gen/khw/agent/v1/agent.ts";
import { noHardening } from "../../../proto/hardening.ts";
import { differences, parseKubernetesVersion } from "../../../proto/kubernetes-versions.ts";
import { controllers, credentialsOf, labState } from "../../fixtures/lab-cluster.ts";

function withCluster(changes: Partial<Cluster>): DesiredState {
  const { cluster } = labState();
  if (cluster === undefined) throw new Error("the lab has a cluster");
  return labState({ cluster: { ...cluster, ...changes } });
}

function withFlag(name: string, value: string): DesiredState {
  return labState({ flags: { "kube-apiserver": { set: { [name]: value }, remove: [] } } });
}

function withBinaries(changes: Partial<NonNullable<DesiredState["binaries"]>>): DesiredState {
  return labState({
    binaries: { mirrors: ["https://dl.k8s.io/release"], proxy: "", caPem: "", sha256: {}, ...changes },
  });
}

t.test("the desired state of the lab is valid and parsed unchanged", async (t) => {
  const { supervision: _, ...state } = labState();
  const desired = parseDesiredState(labState());
  t.strictSame(desired, { ...state, driftPolicy: "repair", etcd: undefined, hardening: noHardening });
  t.strictSame(ownController(desired), controllers[0]);
});

t.test("credentials are put in a fixed order, whether or not they have content", async (t) => {
  const { credentials } = labState();
  const bare = credentials.map(({ name, sha256 }) => ({ name, sha256 }));
  t.strictSame(
    parseDesiredState(labState({ credentials: bare.toReversed() })).credentials.map(({ name }) => name),
    bare.map(({ name }) => name),
  );
});

t.test("mirrors of every supported kind are accepted, and a trailing slash is removed", async (t) => {
  const mirrors = ["https://dl.k8s.io/release/", "http://mirror:8080/k8s", "file:///srv/k8s", "/srv/k8s"];
  t.strictSame(parseDesiredState(withBinaries({ mirrors, proxy: "http://proxy:3128" })).binaries.mirrors, [
    "https://dl.k8s.io/release",
    ...mirrors.slice(1),
  ]);
});

const digest = "0".repeat(64);
const [first] = labState().credentials;
if (first === undefined) throw new Error("the lab has credentials");

/** The desired states that are rejected. Each message starts with the name of the field. */
const refused: readonly (readonly [what: string, state: DesiredState | undefined, message: string | RegExp])[] = [
  ["no state at all", undefined, "desired: is incomplete"],
  ["no cluster", labState({ cluster: undefined }), "desired: is incomplete"],
  ["no source of binaries", labState({ binaries: undefined }), "desired: is incomplete"],
  ["an invalid node name", labState({ node: "../etc" }), 'node: "../etc" cannot be an instance name'],
  ["a node outside the cluster is refused", labState({ node: "controller-9" }), /^node: "controller-9" is not among/],

  ["a version out of range is refused", labState({ kubernetesVersion: "v9.99.0" }), /^kubernetes_version: "v9\.99\.0"/],
  [
    "a version with a command is refused",
    labState({ kubernetesVersion: "1.21.0; rm -rf /" }),
    /^kubernetes_version: "1\.21\.0; rm -rf \/"/,
  ],
  ["a version with a path is refused", labState({ kubernetesVersion: "v1.21.0/../../x" }), /^kubernetes_version: /],
  [
    "a version with a line break is refused",
    labState({ kubernetesVersion: "v1.21.0\n" }),
    /^kubernetes_version: "v1\.21\.0\\n"/,
  ],
  ["a version without the leading v is refused", labState({ kubernetesVersion: "1.21.0" }), /^kubernetes_version: /],
  [
    "a minor release older than the oldest supported release is refused",
    labState({ kubernetesVersion: "v1.19.16" }),
    /^kubernetes_version: /,
  ],
  [
    "a minor release newer than the newest supported release is refused",
    labState({ kubernetesVersion: "v1.38.0" }),
    /^kubernetes_version: /,
  ],

  [
    "networks that overlap",
    withCluster({ serviceCidr: "10.200.4.0/24" }),
    /^cluster\.service_cidr: 10\.200\.4\.0\/24 overlaps/,
  ],
  ["equal networks", withCluster({ serviceCidr: "10.200.0.0/16" }), /^cluster\.service_cidr: .*overlaps/],
  [
    "a network inside another network is refused",
    withCluster({ clusterCidr: "10.0.0.0/8" }),
    /^cluster\.service_cidr: .*overlaps/,
  ],
  [
    "host bits",
    withCluster({ serviceCidr: "10.32.0.1/24" }),
    /^cluster\.service_cidr: "10\.32\.0\.1\/24" has host bits/,
  ],
  ["no CIDR", withCluster({ clusterCidr: "10.200.0.0" }), /^cluster\.cluster_cidr: /],
  ["an IPv6 network", withCluster({ clusterCidr: "fd00::/64" }), /^cluster\.cluster_cidr: /],
  ["a mask of 33 bits is refused", withCluster({ clusterCidr: "10.200.0.0/33" }), /^cluster\.cluster_cidr: /],
  ["a mask with a sign is refused", withCluster({ clusterCidr: "10.200.0.0/+16" }), /^cluster\.cluster_cidr: /],
  ["two masks", withCluster({ clusterCidr: "10.200.0.0/16/16" }), /^cluster\.cluster_cidr: /],

  ["an invalid name", withCluster({ name: "my cluster" }), /^cluster\.name: /],
  [
    "a DNS name in place of the public address is refused",
    withCluster({ publicAddress: "example.org" }),
    /^cluster\.public_address: "example\.org"/,
  ],
  ["no controllers", withCluster({ controllers: [] }), "cluster.controllers: is empty"],
  [
    "a repeated name",
    withCluster({ controllers: controllers.map(({ internalIp }) => ({ name: "controller-0", internalIp })) }),
    /"controller-0" is listed twice/,
  ],
  [
    "a repeated address",
    withCluster({ controllers: controllers.map(({ name }) => ({ name, internalIp: "10.240.0.10" })) }),
    /"10\.240\.0\.10" is listed twice/,
  ],
  [
    "an invalid address",
    withCluster({ controllers: [{ name: "controller-0", internalIp: "10.240.0.256" }] }),
    /^cluster\.controllers\.controller-0: /,
  ],
  [
    "a controller in the pod network is refused",
    withCluster({ controllers: [{ name: "controller-0", internalIp: "10.200.0.10" }] }),
    /^cluster\.cluster_cidr: "10\.200\.0\.0\/16" contains 10\.200\.0\.10, the address of /,
  ],
  ["no etcd", withCluster({ etcdServers: [] }), "cluster.etcd_servers: is empty"],
  ["etcd without TLS", withCluster({ etcdServers: ["http://10.240.0.10:2379"] }), /^cluster\.etcd_servers: /],
  [
    "two etcd servers in one value are refused",
    withCluster({ etcdServers: ["https://10.240.0.10:2379,https://evil"] }),
    /^cluster\.etcd_servers: /,
  ],
  ["etcd without a URL", withCluster({ etcdServers: ["10.240.0.10"] }), /^cluster\.etcd_servers: .*is not a URL/],
  [
    "a port range in the wrong order is refused",
    withCluster({ nodePortRange: "32767-30000" }),
    /^cluster\.node_port_range: /,
  ],
  [
    "a port range with ports that do not exist is refused",
    withCluster({ nodePortRange: "30000-70000" }),
    /^cluster\.node_port_range: /,
  ],
  ["ports with a command", withCluster({ nodePortRange: "30000-32767;reboot" }), /^cluster\.node_port_range: /],

  [
    "a flag's value with a line break is refused",
    withFlag("event-ttl", "1h\nExecStartPre=/bin/sh"),
    /^flags\.kube-apiserver\.event-ttl: "1h\\nExecStartPre/,
  ],
  [
    "a flag's value with a carriage return is refused",
    withFlag("event-ttl", "1h\r"),
    /^flags\.kube-apiserver\.event-ttl: /,
  ],
  ["a flag's value with a NUL is refused", withFlag("event-ttl", "1h\0"), /^flags\.kube-apiserver\.event-ttl: /],
  [
    "a flag's value with a single quote is refused",
    withFlag("event-ttl", "1h' --v='9"),
    /^flags\.kube-apiserver\.event-ttl: .*quotation mark/,
  ],
  [
    "a flag's value with a double quote is refused",
    withFlag("event-ttl", '1h"'),
    /^flags\.kube-apiserver\.event-ttl: .*quotation mark/,
  ],
  [
    "a flag's name with dashes is refused",
    withFlag("--event-ttl", "1h"),
    /^flags\.kube-apiserver: "--event-ttl" cannot be/,
  ],
  ["a flag's name with a value is refused", withFlag("v=9 --event-ttl", "1h"), /^flags\.kube-apiserver: /],
  [
    "the removal of a flag with an invalid name is refused",
    labState({ flags: { "kube-scheduler": { set: {}, remove: ["*"] } } }),
    /^flags\.kube-scheduler: "\*" cannot be/,
  ],
  [
    "flags of an unknown component are refused",
    labState({ flags: { kubelet: { set: {}, remove: [] } } }),
    'flags: "kubelet" is not a component',
  ],

  ["no mirror", withBinaries({ mirrors: [] }), "binaries.mirrors: is empty"],
  ["a mirror without a URL is refused", withBinaries({ mirrors: ["dl.k8s.io/release"] }), /^binaries\.mirrors: /],
  [
    "a mirror with an unsupported scheme is refused",
    withBinaries({ mirrors: ["ftp://mirror/"] }),
    /^binaries\.mirrors: /,
  ],
  ["a mirror's folder with a line break is refused", withBinaries({ mirrors: ["/srv\n/k8s"] }), /^binaries\.mirrors: /],
  ["a proxy with an unsupported scheme is refused", withBinaries({ proxy: "socks://proxy" }), /^binaries\.proxy: /],
  [
    "a digest of an unknown program is refused",
    withBinaries({ sha256: { kubelet: digest } }),
    /^binaries\.sha256: "kubelet"/,
  ],
  ["an invalid digest", withBinaries({ sha256: { kubectl: "abc" } }), /^binaries\.sha256\.kubectl: /],

  [
    "a missing credential",
    labState({ credentials: labState().credentials.slice(1) }),
    "credentials.ca.pem: is missing",
  ],
  [
    "a repeated credential",
    labState({ credentials: [...labState().credentials, first] }),
    'credentials: "ca.pem" is listed twice',
  ],
  [
    "a credential with an unknown name is refused",
    labState({ credentials: [{ ...first, name: "../../etc/shadow" }] }),
    /^credentials: "\.\.\/\.\.\/etc\/shadow"/,
  ],
  [
    "a credential with another credential's digest is refused",
    labState({ credentials: [{ ...first, sha256: digest }] }),
    /^credentials\.ca\.pem: /,
  ],
  [
    "a credential with an invalid digest is refused",
    labState({ credentials: [{ ...first, sha256: "" }] }),
    /^credentials\.ca\.pem: /,
  ],
];

t.test("the key of the cluster CA and the files of a signing CA are mutually exclusive", async (t) => {
  const separate = credentialsOf({ signing: true });
  t.ok(signsSeparately(parseDesiredState(labState({ credentials: separate }))));
  t.notOk(signsSeparately(parseDesiredState(labState())));
  const caKey = credentialsOf({}).filter(({ name }) => name === "ca-key.pem");
  const named = (...names: string[]) => separate.filter(({ name }) => names.includes(name));
  for (const [credentials, message] of [
    [[...separate, ...caKey], "credentials.ca-key.pem: must not leave the workstation"],
    [
      [...credentialsOf({}), ...named("ca-bundle.pem")],
      "credentials.ca-bundle.pem: is accepted only together with signing-ca.pem",
    ],
    [separate.filter(({ name }) => name !== "ca-bundle.pem"), "credentials.ca-bundle.pem: is missing"],
    [separate.filter(({ name }) => name !== "signing-ca-key.pem"), "credentials.signing-ca-key.pem: is missing"],
  ] as const) {
    t.throws(() => parseDesiredState(labState({ credentials: [...credentials] })), {
      code: "INVALID_ARGUMENT",
      message,
    });
  }
});

t.test("a desired state with only some of the aggregation layer's files is refused", async (t) => {
  const [lab, all] = [credentialsOf({}), credentialsOf({ aggregation: true })];
  t.ok(aggregates(parseDesiredState(labState({ credentials: all }))));
  t.ok(aggregates(parseDesiredState(labState({ credentials: credentialsOf({ signing: true, aggregation: true }) }))));
  t.notOk(aggregates(parseDesiredState(labState({ credentials: lab }))));
  const without = (name: string) => all.filter((credential) => credential.name !== name);
  for (const [credentials, message] of [
    [without("front-proxy-client-key.pem"), "credentials.front-proxy-client-key.pem: is missing"],
    [
      without("front-proxy-ca.pem"),
      "credentials.front-proxy-client.pem: is accepted only together with front-proxy-ca.pem",
    ],
  ] as const) {
    t.throws(() => parseDesiredState(labState({ credentials })), { code: "INVALID_ARGUMENT", message });
  }
});

t.test("invalid values are refused with the field's name", async (t) => {
  for (const [what, state, message] of refused) {
    t.throws(() => parseDesiredState(state), { code: "INVALID_ARGUMENT", message }, what);
  }
});

t.test("an error neither repeats a long value nor shows the content of a credential", async (t) => {
  const long = withFlag("event-ttl", `${"x".repeat(5000)}\n`);
  const content = Buffer.from("-----BEGIN PRIVATE KEY-----");
  for (const state of [long, labState({ credentials: [{ ...first, content }] })]) {
    try {
      parseDesiredState(state);
      t.fail("is refused");
    } catch (error) {
      const message = String(error);
      t.ok(message.length < 200);
      t.notMatch(message, "PRIVATE KEY");
    }
  }
});

t.test("releases and release candidates are accepted as versions, and their minor version is parsed", async (t) => {
  for (const [text, minor] of [
    ["v1.20.2", 20],
    ["v1.21.0", 21],
    ["v1.37.1", 37],
    ["v1.37.0-rc.1", 37],
    ["v1.22.0-alpha.3", 22],
  ] as const) {
    t.strictSame(parseKubernetesVersion("version", text), { text, minor });
  }
  for (const text of [
    "",
    "v1",
    "v1.21",
    "v1.21.0-rc",
    "v1.21.0+k3s1",
    "v1.21.0-gke.1",
    "V1.21.0",
    " v1.21.0",
    "v0.21.0",
    "v2.21.0",
  ]) {
    t.throws(() => parseKubernetesVersion("version", text), { code: "INVALID_ARGUMENT", message: /^version: / }, text);
  }
});

t.test("the table of differences is sorted by release, and every row has a reason and a source", async (t) => {
  t.strictSame(
    differences.map(({ from }) => from),
    differences.map(({ from }) => from).toSorted((a, b) => a - b),
  );
  for (const { from, why, source } of differences) {
    t.ok(why.length > 0, `1.${from} has a reason`);
    t.match(source, /^https:\/\/(github\.com\/kubernetes|kubernetes\.io)\//);
    parseKubernetesVersion("from", `v1.${from}.0`);
  }
});
