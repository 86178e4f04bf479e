import type { Component } from "./components.ts";

/** The profiles of khw.yaml. The first profile is the default, and leaves every file as in the labs. */
export const profiles = ["lab", "production"] as const;
export type Profile = (typeof profiles)[number];

/** An effect of a setting on the controllers, for an inclusive range of Kubernetes minor releases. */
export type Effect = { readonly from?: number; readonly until?: number } & (
  | {
      readonly kind: "flag";
      readonly components: readonly Component[];
      readonly flag: string;
      /** Null removes the lab's flag. */
      readonly value: string | null;
    }
  /** Adds a plugin to the lab's admission plugins. */
  | { readonly kind: "plugin"; readonly plugin: string }
  /** An effect that is not a flag of a Kubernetes program. */
  | { readonly kind: "other"; readonly text: string }
);

/** A difference between the profiles. Each row is a setting of khw.yaml that can also be changed on its own. */
export interface ProfileRow {
  /** The path of the key in khw.yaml. */
  readonly setting: string;
  /** The values of the setting in the two profiles, as written in khw.yaml. */
  readonly lab: string;
  readonly production: string;
  /** The setting's help, in one sentence. */
  readonly help: string;
  /** The reason for the value in the production profile. */
  readonly why: string;
  readonly source: string;
  readonly effects: readonly Effect[];
}

const all: readonly Component[] = ["kube-apiserver", "kube-controller-manager", "kube-scheduler"];
const clients: readonly Component[] = ["kube-controller-manager", "kube-scheduler"];
const flag = (components: readonly Component[], name: string, value: string | null): Effect => ({
  kind: "flag",
  components,
  flag: name,
  value,
});

/**
 * Cipher suites for TLS 1.2 with forward secrecy and authenticated encryption. All suites of TLS 1.3 have both
 * properties.
 */
export const strictCipherSuites = [
  "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
  "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
  "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
  "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
].join(",");

const cis = "https://www.cisecurity.org/benchmark/kubernetes";
const on = { lab: "false", production: "true" } as const;

/** The switches of the group `hardening` in khw.yaml, by key. False is the lab's value. */
export const hardening = {
  profilingOff: {
    ...on,
    help: "Switch off the profiling pages of the API server, the controller manager and the scheduler.",
    why: "the pages show details of the running program, and a request for a profile costs CPU time",
    source: cis,
    effects: [
      flag(all, "profiling", "false"),
      {
        kind: "other",
        text: "`enableProfiling: false` in `kube-scheduler.yaml`, because the scheduler ignores the flag if it has a configuration file",
      },
    ],
  },
  insecurePortsOff: {
    ...on,
    help: "Close the insecure ports (without TLS) of the API server, the controller manager and the scheduler.",
    why: "the ports answer everybody, without authentication. Later releases do not have these ports",
    source: "https://github.com/kubernetes/kubernetes/issues/109900",
    effects: [
      { ...flag(["kube-apiserver"], "insecure-port", "0"), until: 23 },
      { ...flag(["kube-controller-manager"], "port", "0"), until: 23 },
      {
        kind: "other",
        until: 22,
        text: "the scheduler's port 10251 accepts connections on 127.0.0.1 only (`kube-scheduler.yaml`). With a configuration file, these releases cannot close the port",
      },
    ],
  },
  loopbackOnly: {
    ...on,
    help: "Let the controller manager and the scheduler accept connections on 127.0.0.1 only.",
    why: "only the agent on the same machine connects to these programs. If Prometheus reads their metrics from another machine, set this key to false",
    source: cis,
    effects: [flag(clients, "bind-address", "127.0.0.1")],
  },
  strictTls: {
    ...on,
    help: "Accept only TLS 1.2 and later, with four strong cipher suites, on all ports of Kubernetes and etcd.",
    why: "the defaults of older releases include cipher suites without forward secrecy",
    source: "https://kubernetes.io/docs/reference/command-line-tools-reference/kube-apiserver/",
    effects: [
      flag(all, "tls-min-version", "VersionTLS12"),
      flag(all, "tls-cipher-suites", strictCipherSuites),
      { kind: "other", text: `etcd with \`--cipher-suites=${strictCipherSuites}\`, if khw manages etcd` },
    ],
  },
  defaultApisOnly: {
    ...on,
    help: "Serve only the APIs that Kubernetes serves by default, without alpha and beta APIs.",
    why: "the lab's --runtime-config=api/all=true also serves unfinished APIs, whose objects later releases may not read",
    source: "https://kubernetes.io/docs/reference/using-api/#api-versioning",
    effects: [flag(["kube-apiserver"], "runtime-config", null)],
  },
  denyExternalIps: {
    ...on,
    help: "Refuse new external IP addresses in Services.",
    why: "anybody who may create a Service could otherwise receive the traffic for any address (CVE-2020-8554)",
    source: "https://github.com/kubernetes/kubernetes/issues/97076",
    effects: [{ kind: "plugin", plugin: "DenyServiceExternalIPs", from: 21 }],
  },
  eventLimits: {
    ...on,
    help: "Limit the number of Events per second for each API server and each namespace. admission.config takes precedence.",
    why: "a client that writes Events in a loop could otherwise fill etcd",
    source: "https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#eventratelimit",
    effects: [
      {
        kind: "other",
        text: "the admission plugin `EventRateLimit`, with 200 Events per second for an API server and 50 for a namespace",
      },
    ],
  },
  anonymousLimited: {
    ...on,
    help: "Allow anonymous requests to the health paths /healthz, /livez and /readyz only.",
    why: "anybody could otherwise read the release at /version, and a binding to system:unauthenticated would open more. nginx and the load balancer need the health paths, so --anonymous-auth=false is not possible",
    source: "https://kubernetes.io/docs/reference/access-authn-authz/authentication/#anonymous-requests",
    effects: [
      {
        kind: "other",
        text: 'the ClusterRole `system:public-info-viewer` without `/version`, and with the annotation `rbac.authorization.kubernetes.io/autoupdate: "false"`',
      },
      {
        kind: "other",
        from: 32,
        text: "`--authentication-config` with a file that permits anonymous requests for these paths only, unless khw.yaml sets other ways to identify users",
      },
    ],
  },
  auditRetention: {
    ...on,
    help: "Keep ten older audit logs, instead of three.",
    why: "three logs of 100 MB hold only a few hours of a busy cluster's requests",
    source: cis,
    effects: [flag(["kube-apiserver"], "audit-log-maxbackup", "10")],
  },
  coreDumpsOff: {
    ...on,
    help: "Switch off core dumps of Kubernetes and etcd.",
    why: "a core dump contains keys and the contents of Secrets",
    source: "https://www.freedesktop.org/software/systemd/man/latest/systemd.exec.html#LimitCPU=",
    effects: [{ kind: "other", text: "`LimitCORE=0` in a drop-in of each unit" }],
  },
} as const satisfies Readonly<Record<string, Omit<ProfileRow, "setting">>>;

export type HardeningKey = keyof typeof hardening;
// oxlint-disable-next-line no-unsafe-type-assertion -- the table has no other keys
export const hardeningKeys = Object.keys(hardening) as readonly HardeningKey[];

/** Every difference between the profiles. docs/profiles.md is generated from this table. */
export const profileRows: readonly ProfileRow[] = [
  ...Object.entries(hardening).map(([key, row]): ProfileRow => ({ setting: `hardening.${key}`, ...row })),
  {
    setting: "audit.policy",
    lab: "none",
    production: "metadata",
    help: "Record who did what and when.",
    why: "without a policy, the audit log stays empty",
    source: "https://kubernetes.io/docs/tasks/debug/debug-cluster/audit/",
    effects: [
      {
        kind: "other",
        text: "`--audit-policy-file` with a policy that records metadata but no contents, and omits health checks, leases and events",
      },
    ],
  },
  {
    setting: "pki.encryptionProvider",
    lab: "aescbc",
    production: "secretbox",
    help: "How the API server encrypts Secrets.",
    why: "aescbc does not detect a changed value, and is open to padding oracle attacks. A running cluster keeps its provider: use khw-client encryption rotate --provider secretbox",
    source: "https://kubernetes.io/docs/tasks/administer-cluster/encrypt-data/#providers",
    effects: [{ kind: "other", text: "`secretbox` in a new `encryption-config.yaml`" }],
  },
  {
    ...on,
    setting: "aggregation",
    help: "Turn on the API servers' aggregation layer.",
    why: "without the layer, APIServices do not work, and webhooks need kube-proxy on the controllers",
    source: "https://kubernetes.io/docs/tasks/extend-kubernetes/configure-aggregation-layer/",
    effects: [
      {
        kind: "other",
        text: "a front-proxy CA and client certificate; `--requestheader-*`, `--proxy-client-*` and `--enable-aggregator-routing` of the API server",
      },
    ],
  },
];

/** Returns the effects that a row has in a minor release of Kubernetes. */
export function effectsOn(minor: number, effects: readonly Effect[]): Effect[] {
  return effects.filter(({ from = 0, until = Infinity }) => from <= minor && minor <= until);
}

/** Returns the table of docs/profiles.md. */
export function profileTable(): string {
  const rows = profileRows.map(({ setting, lab, production, why, source, effects }) => {
    const cells = [
      `\`${setting}\``,
      lab,
      production,
      effects.map(describeEffect).join("; "),
      why,
      `[source](${source})`,
    ];
    return `| ${cells.join(" | ")} |`;
  });
  const header = ["| setting | lab | production | with the production value | why | |", "|---|---|---|---|---|---|"];
  return [...header, ...rows, ""].join("\n");
}

function describeEffect(effect: Effect): string {
  return `${describeChange(effect)}${describeReleases(effect)}`;
}

function describeChange(effect: Effect): string {
  if (effect.kind === "other") return effect.text;
  if (effect.kind === "plugin") return `the admission plugin \`${effect.plugin}\``;
  const where = effect.components.length === all.length ? "all three programs" : effect.components.join(", ");
  const flags = effect.value === null ? `no \`--${effect.flag}\`` : `\`--${effect.flag}=${effect.value}\``;
  return `${flags} (${where})`;
}

function describeReleases({ from, until }: Effect): string {
  if (from !== undefined) return ` from 1.${from}`;
  return until === undefined ? "" : ` up to 1.${until}`;
}
