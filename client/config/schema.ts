import type { Component } from "../../proto/components.ts";
import { parseServiceCidr, parseUsableCidr } from "../../proto/networks.ts";
import { parsePortRange } from "../../proto/desired.ts";
import { parseKubernetesVersion } from "../../proto/kubernetes-versions.ts";
import {
  parseFlagName,
  parseFlagValue,
  parseIPv4,
  parseNodeName,
  parseSha256,
  parseUrl,
} from "../../proto/validate.ts";
import { parseOwnFileName } from "../../proto/config-files.ts";
import { admission } from "./admission.ts";
import { audit } from "./audit.ts";
import { authentication, authorization } from "./authentication.ts";
import { encryption } from "./encryption.ts";
import { etcd } from "./etcd.ts";
import { gce } from "./gce.ts";
import type { PlaceSources } from "./place.ts";
import { httpUrl, mergeNodes, mirror, nodes, programName } from "./domain.ts";
import { hardeningSettings, profile } from "./hardening.ts";
import { oidc } from "./oidc.ts";
import { keySource, parseAgentDays } from "./enrolment.ts";
import { boolean, checked, duration, list, mergeRecords, oneOf, optional, path, record } from "./parsers.ts";
import { pkiSettings } from "./pki.ts";
import type { Group, SettingValue, Setting } from "./setting.ts";

/** Every setting of a cluster. The defaults come from the lab. */
export type ClusterConfig = SettingValue<typeof schema> & {
  /** The sources of project, region and zone; absent if khw.yaml and flags set all three. */
  readonly place?: PlaceSources;
  /** The path of khw.lock: beside khw.yaml, or else in the current folder. */
  readonly lockFile: string;
};

/**
 * The keys of khw.yaml, each with its flag, default, help and parser. Validation, the flags' help, `config default`,
 * the man page and docs/configuration.md come from this table.
 */
export const schema = {
  title: "The configuration of khw-client. Every key is optional; the values here are the defaults.",
  keys: {
    profile,
    nodes: {
      help: "The controllers: controller-0,1,2, controller-{0..2} or name=host[:port]. Missing hosts come from the Compute API. khw.yaml also accepts a list of these, or of maps {name, host, port, internalIp}.",
      default: [],
      flag: { name: "--nodes", value: "list" },
      parse: nodes,
      merge: mergeNodes,
    },
    kubernetes: {
      title: "The programs on the controllers.",
      keys: {
        version: {
          help: "The Kubernetes release (default: the running release; if none, v1.21.0).",
          default: null,
          flag: { name: "--kubernetes-version", value: "version" },
          parse: optional(checked((field, text) => parseKubernetesVersion(field, text).text)),
        },
        mirrors: {
          help: "Sources of the Kubernetes programs, tried in order. Each is a URL (https, http, file) or an absolute folder on the controllers. An http source needs a digest, from sha256 or khw.lock.",
          default: ["https://dl.k8s.io/release", "https://storage.googleapis.com/kubernetes-release/release"],
          flag: { name: "--mirror", value: "url", repeat: "list" },
          parse: list(mirror),
        },
        proxy: {
          help: "HTTP proxy for the controllers' downloads.",
          default: null,
          flag: { name: "--proxy", value: "url" },
          parse: optional(httpUrl),
        },
        caFile: {
          help: "PEM file of additional CAs that the controllers trust for downloads.",
          default: null,
          flag: { name: "--mirror-ca", value: "file" },
          parse: optional(path),
        },
        sha256: {
          help: "SHA-256 digests by program (kube-apiserver, ...), used instead of the mirror's digests and those in khw.lock.",
          default: {},
          flag: { name: "--sha256", value: "program=digest", repeat: "map" },
          parse: record(programName, checked(parseSha256)),
          merge: mergeRecords<string>,
        },
        flags: {
          title:
            "Flags of each program that differ from the lab's. A value sets a flag, null removes it. Names have no dashes.",
          keys: {
            "kube-apiserver": componentFlags("kube-apiserver"),
            "kube-controller-manager": componentFlags("kube-controller-manager"),
            "kube-scheduler": componentFlags("kube-scheduler"),
          },
        },
      },
    },
    cluster: {
      title: "Settings that all controllers share.",
      keys: {
        name: {
          help: "The cluster's name, which is the controller manager's --cluster-name.",
          default: "kubernetes",
          flag: { name: "--cluster-name", value: "name" },
          parse: checked((field, name) => parseNodeName(field, name, "a cluster's name")),
        },
        serviceCidr: {
          help: "Address range of services.",
          default: "10.32.0.0/24",
          flag: { name: "--service-cidr", value: "cidr" },
          parse: checked((field, text) => parseServiceCidr(field, text).text),
        },
        clusterCidr: {
          help: "Address range of pods.",
          default: "10.200.0.0/16",
          flag: { name: "--cluster-cidr", value: "cidr" },
          parse: checked((field, text) => parseUsableCidr(field, text).text),
        },
        nodePortRange: {
          help: "Port range of NodePort services.",
          default: "30000-32767",
          flag: { name: "--node-port-range", value: "range" },
          parse: checked(parsePortRange),
        },
        publicAddress: {
          help: "IPv4 address at which clients reach the API servers, by default the static address in gce.address.",
          default: null,
          flag: { name: "--public-address", value: "ip" },
          parse: optional(checked(parseIPv4)),
        },
        etcdServers: {
          help: "Client URLs of an external etcd. Default: https://INTERNAL_IP:2379 for every controller.",
          default: null,
          flag: { name: "--etcd-server", value: "url", repeat: "list" },
          parse: optional(list(checked((field, text) => parseUrl(field, text, ["https:"])))),
        },
      },
    },
    files: {
      help: "Configuration files that the API server and the other programs use, by name. Each file is copied to /etc/kubernetes/config/NAME on the controllers. To use a file, set a flag to this path.",
      default: {},
      flag: { name: "--kubernetes-file", value: "name=path", repeat: "map" },
      parse: record(parseOwnFileName, path),
      merge: mergeRecords<string>,
    },
    manifests: {
      help: "Folder of Kubernetes objects (YAML or JSON files). bootstrap applies them after the RBAC of lab 08, and deletes objects that it created if they are no longer in the folder.",
      default: null,
      flag: { name: "--manifests", value: "folder" },
      parse: optional(path),
    },
    audit,
    authentication,
    oidc,
    authorization,
    admission,
    hardening: hardeningSettings,
    encryption,
    etcd,
    credentials: {
      title: "The cluster's certificates, keys and kubeconfigs on this workstation.",
      keys: {
        folder: {
          help: "Folder of the cluster's certificates, keys and kubeconfigs, with the lab's file names. If these files do not exist, bootstrap creates them.",
          default: ".",
          flag: { name: "--credentials", value: "folder" },
          parse: path,
        },
        adminKubeconfig: {
          help: "Kubeconfig for RBAC and verification. Default: admin.kubeconfig in credentials.folder.",
          default: null,
          flag: { name: "--admin-kubeconfig", value: "file" },
          parse: optional(path),
        },
      },
    },
    pki: pkiSettings,
    management: {
      title: "The identity that this client presents to agents, and the CA of the agents' certificates.",
      keys: {
        ca: {
          help: "The management CA's certificate.",
          default: "khw-pki/ca.pem",
          flag: { name: "--management-ca", value: "file" },
          parse: path,
        },
        certificate: {
          help: "This client's certificate.",
          default: "khw-pki/admin.pem",
          flag: { name: "--management-certificate", value: "file" },
          parse: path,
        },
        key: {
          help: "This client's private key.",
          default: "khw-pki/admin-key.pem",
          flag: { name: "--management-key", value: "file" },
          parse: path,
        },
      },
    },
    enrolment: {
      title: "How agents get their certificates from the management CA.",
      keys: {
        days: {
          help: "Validity of an agent's certificate in days, 1 to 825. The certificate is renewed after two thirds of that time.",
          default: 90,
          flag: { name: "--agent-days", value: "number" },
          parse: checked(parseAgentDays),
        },
        jwks: {
          help: "Google's public keys for identity tokens: an https URL, or a file on this workstation.",
          default: "https://www.googleapis.com/oauth2/v3/certs",
          flag: { name: "--identity-jwks", value: "url|file" },
          parse: keySource,
        },
      },
    },
    supervision: {
      title: "The work that agents do on their own after bootstrap.",
      keys: {
        drift: {
          help: "Whether agents repair files, programs and services that were changed, or only report them.",
          default: "repair",
          flag: { name: "--drift", value: "repair|report" },
          parse: oneOf(["repair", "report"]),
        },
      },
    },
    aggregation: {
      help: "Turn on the API servers' aggregation layer, so that APIServices work. The API servers then call webhooks and APIServices at the endpoints of their Services. pki create makes the front-proxy CA.",
      default: false,
      production: true,
      flag: { name: "--aggregation" },
      parse: boolean,
    },
    tlsBootstrap: {
      help: "Let workers join with a bootstrap token (khw-client token create): the API servers accept these tokens, and the controller manager removes expired tokens.",
      default: false,
      flag: { name: "--tls-bootstrap" },
      parse: boolean,
    },
    loadBalancer: {
      help: "gce: khw sets up the lab's load balancer. none: you set up load balancing yourself.",
      default: "gce",
      flag: { name: "--load-balancer", value: "gce|none" },
      parse: oneOf(["gce", "none"]),
    },
    gce,
    timeouts: {
      title: "Time limits, for example 90s, 10m or 1h.",
      keys: {
        node: {
          help: "Time limit for the work on a node, including downloads.",
          default: "15m",
          flag: { name: "--node-timeout", value: "duration" },
          parse: duration,
        },
        compute: {
          help: "Time limit for each operation of the Compute API.",
          default: "5m",
          flag: { name: "--compute-timeout", value: "duration" },
          parse: duration,
        },
        verify: {
          help: "Time limit for the cluster to answer after bootstrap, and for the load balancer to see each node's new state.",
          default: "3m",
          flag: { name: "--verify-timeout", value: "duration" },
          parse: duration,
        },
        drain: {
          help: "Pause between draining a node and working on it, so that new connections can finish their requests.",
          default: "5s",
          flag: { name: "--drain-time", value: "duration" },
          parse: duration,
        },
      },
    },
  },
} as const satisfies Group;

/** Changes to a program's flags: a value sets a flag, null removes it. */
export type FlagChanges = Readonly<Record<string, string | null>>;

function componentFlags(component: Component): Setting<FlagChanges> {
  return {
    help: `Flag of ${component} that differs from the lab's: v=4 sets a flag, v- removes it. In khw.yaml: {v: 4}, {v: null}.`,
    default: {},
    flag: { name: `--${component}-flag`, value: "name=value", repeat: "map" },
    parse: record(parseFlagName, (value) => (value.kind === "empty" ? null : checked(parseFlagValue)(value))),
    merge: mergeRecords<string | null>,
  };
}
