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
import { etcd } from "./etcd.ts";
import { defaultEndpoint, labLoadBalancer } from "../gce/config.ts";
import type { PlaceSources } from "./place.ts";
import { authentication, mergeNodes, mirror, nodes, programName, projectId } from "./domain.ts";
import { keySource, parseAgentDays } from "./enrolment.ts";
import { boolean, checked, duration, list, mergeRecords, oneOf, optional, path, record } from "./parsers.ts";
import { pkiSettings } from "./pki.ts";
import type { Group, Read, Setting } from "./setting.ts";

/** Every setting of a cluster. The defaults are the lab's. */
export type ClusterConfig = Read<typeof schema> & {
  /** Absent if khw.yaml and flags name project, region and zone. */
  readonly place?: PlaceSources;
};

const resourceName = checked((field, name) => parseNodeName(field, name, "a resource's name"));
const url = checked((field, text) => parseUrl(field, text, ["https:", "http:"]));

/**
 * The table that validation, the flags' help, `config default` and docs/configuration.md all come from: each key of
 * khw.yaml with its flag, its default and its parser.
 */
export const schema = {
  title: "The configuration of khw-client. Every key may be left out; what stands here are the defaults.",
  keys: {
    nodes: {
      help: "The controllers: controller-0,1,2 or controller-{0..2} or name=host[:port], or a list of these or of maps {name, host, port, internalIp}. Hosts left out are asked of the Compute API.",
      default: [],
      flag: { name: "--nodes", value: "list" },
      parse: nodes,
      merge: mergeNodes,
    },
    kubernetes: {
      title: "What runs on the controllers.",
      keys: {
        version: {
          help: "The Kubernetes release.",
          default: "v1.21.0",
          flag: { name: "--kubernetes-version", value: "version" },
          parse: checked((field, text) => parseKubernetesVersion(field, text).text),
        },
        mirrors: {
          help: "Where its programs come from, tried in order: URLs (https, http, file) or absolute folders on the controllers.",
          default: ["https://dl.k8s.io/release", "https://storage.googleapis.com/kubernetes-release/release"],
          flag: { name: "--mirror", value: "url", repeat: "list" },
          parse: list(mirror),
        },
        proxy: {
          help: "The HTTP proxy that the controllers download through.",
          default: null,
          flag: { name: "--proxy", value: "url" },
          parse: optional(url),
        },
        caFile: {
          help: "Certificates (PEM) that the controllers trust for downloads beside their system's.",
          default: null,
          flag: { name: "--mirror-ca", value: "file" },
          parse: optional(path),
        },
        sha256: {
          help: "Digests that stand in for those that the mirror publishes, by program: kube-apiserver, ...",
          default: {},
          flag: { name: "--sha256", value: "program=digest", repeat: "map" },
          parse: record(programName, checked(parseSha256)),
          merge: mergeRecords<string>,
        },
        flags: {
          title: "Flags of each program that differ from the lab's: a value sets, null removes. Names without dashes.",
          keys: {
            "kube-apiserver": componentFlags("kube-apiserver"),
            "kube-controller-manager": componentFlags("kube-controller-manager"),
            "kube-scheduler": componentFlags("kube-scheduler"),
          },
        },
      },
    },
    cluster: {
      title: "What all controllers share.",
      keys: {
        name: {
          help: "The controller manager's --cluster-name.",
          default: "kubernetes",
          flag: { name: "--cluster-name", value: "name" },
          parse: checked((field, name) => parseNodeName(field, name, "a cluster's name")),
        },
        serviceCidr: {
          help: "The addresses of services.",
          default: "10.32.0.0/24",
          flag: { name: "--service-cidr", value: "cidr" },
          parse: checked((field, text) => parseServiceCidr(field, text).text),
        },
        clusterCidr: {
          help: "The addresses of pods.",
          default: "10.200.0.0/16",
          flag: { name: "--cluster-cidr", value: "cidr" },
          parse: checked((field, text) => parseUsableCidr(field, text).text),
        },
        nodePortRange: {
          help: "The ports of services on the nodes.",
          default: "30000-32767",
          flag: { name: "--node-port-range", value: "range" },
          parse: checked(parsePortRange),
        },
        publicAddress: {
          help: "The IPv4 address that the API servers are reached at; left out: that of the static address gce.address.",
          default: null,
          flag: { name: "--public-address", value: "ip" },
          parse: optional(checked(parseIPv4)),
        },
        etcdServers: {
          help: "Client URLs of an etcd that is not khw's; left out: https://INTERNAL_IP:2379 of every controller.",
          default: null,
          flag: { name: "--etcd-server", value: "url", repeat: "list" },
          parse: optional(list(checked((field, text) => parseUrl(field, text, ["https:"])))),
        },
      },
    },
    etcd,
    credentials: {
      title: "The cluster's certificates, keys and kubeconfigs on this workstation.",
      keys: {
        folder: {
          help: "Holds the lab's nine files: ca.pem, ca-key.pem, kubernetes.pem, kubernetes-key.pem, service-account.pem, service-account-key.pem, encryption-config.yaml, kube-controller-manager.kubeconfig, kube-scheduler.kubeconfig. Where none of them is there, bootstrap makes them.",
          default: ".",
          flag: { name: "--credentials", value: "folder" },
          parse: path,
        },
        adminKubeconfig: {
          help: "For RBAC and verification; left out: admin.kubeconfig in the folder above.",
          default: null,
          flag: { name: "--admin-kubeconfig", value: "file" },
          parse: optional(path),
        },
      },
    },
    pki: pkiSettings,
    management: {
      title: "The identity that this client shows to the agents, and the authority that they have theirs from.",
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
          help: "Its private key.",
          default: "khw-pki/admin-key.pem",
          flag: { name: "--management-key", value: "file" },
          parse: path,
        },
      },
    },
    enrolment: {
      title: "How agents come by their certificates of the management CA.",
      keys: {
        days: {
          help: "How many days a certificate that a node's own key is signed for is valid, 1 to 825. It is renewed past two thirds of them.",
          default: 90,
          flag: { name: "--agent-days", value: "number" },
          parse: checked(parseAgentDays),
        },
        jwks: {
          help: "The keys that Google signs instances' identity tokens with: an https URL, or a file on this workstation.",
          default: "https://www.googleapis.com/oauth2/v3/certs",
          flag: { name: "--identity-jwks", value: "url|file" },
          parse: keySource,
        },
      },
    },
    supervision: {
      title: "What the agents do by themselves after bootstrap.",
      keys: {
        drift: {
          help: "repair: a file, program or service that was changed on a node is put right again; report: it is only told of.",
          default: "repair",
          flag: { name: "--drift", value: "repair|report" },
          parse: oneOf(["repair", "report"]),
        },
      },
    },
    loadBalancer: {
      help: "gce: the lab's network load balancer; none: khw leaves the way to the API servers to you.",
      default: "gce",
      flag: { name: "--load-balancer", value: "gce|none" },
      parse: oneOf(["gce", "none"]),
    },
    gce: {
      title: "Google Compute Engine: where the machines are, and the names of the load balancer's resources.",
      keys: {
        project: {
          help: "The project's id; left out: gcloud's (CLOUDSDK_CORE_PROJECT, then its active configuration), then GOOGLE_CLOUD_PROJECT.",
          default: null,
          flag: { name: "--project", value: "id" },
          parse: optional(checked(projectId)),
        },
        region: {
          help: "The load balancer's region; left out: gcloud's (CLOUDSDK_COMPUTE_REGION, then its active configuration), then the zone's.",
          default: null,
          flag: { name: "--region", value: "name" },
          parse: optional(checked((field, name) => parseNodeName(field, name, "a region's name"))),
        },
        zone: {
          help: "The controllers' zone; left out: gcloud's (CLOUDSDK_COMPUTE_ZONE, then its active configuration), then found by their names.",
          default: null,
          flag: { name: "--zone", value: "name" },
          parse: optional(checked((field, name) => parseNodeName(field, name, "a zone's name"))),
        },
        network: {
          help: "The network that the firewall rule is for.",
          default: labLoadBalancer.network,
          flag: { name: "--network", value: "name" },
          parse: resourceName,
        },
        address: {
          help: "The static address.",
          default: labLoadBalancer.addressName,
          flag: { name: "--address", value: "name" },
          parse: resourceName,
        },
        createAddress: {
          help: "Reserve the static address when there is none of that name.",
          default: labLoadBalancer.createAddress,
          flag: { name: "--create-address" },
          parse: boolean,
        },
        healthCheck: {
          help: "The legacy HTTP health check.",
          default: labLoadBalancer.healthCheck.name,
          flag: { name: "--health-check", value: "name" },
          parse: resourceName,
        },
        firewallRule: {
          help: "The firewall rule that lets the health checks in.",
          default: labLoadBalancer.firewallRule.name,
          flag: { name: "--firewall-rule", value: "name" },
          parse: resourceName,
        },
        targetPool: {
          help: "The target pool.",
          default: labLoadBalancer.targetPool,
          flag: { name: "--target-pool", value: "name" },
          parse: resourceName,
        },
        forwardingRule: {
          help: "The forwarding rule.",
          default: labLoadBalancer.forwardingRule,
          flag: { name: "--forwarding-rule", value: "name" },
          parse: resourceName,
        },
        nodeAddresses: {
          help: "Which of an instance's addresses its agent is reached at when --nodes names none: external or internal.",
          default: "external",
          flag: { name: "--node-addresses", value: "external|internal" },
          parse: oneOf(["external", "internal"]),
        },
        auth: {
          help: "Credentials for the Compute API: auto (application default credentials, else gcloud's token), gcloud, none, or a service account's key file.",
          default: "auto",
          flag: { name: "--gce-auth", value: "how" },
          parse: authentication,
        },
        endpoint: {
          help: "The Compute API's base URL.",
          default: defaultEndpoint,
          flag: { name: "--compute-endpoint", value: "url" },
          parse: (value) => `${url(value)}/`,
        },
      },
    },
    timeouts: {
      title: "How long to wait, as 90s, 10m or 1h.",
      keys: {
        node: {
          help: "For a node to become what it shall be, downloads included.",
          default: "15m",
          flag: { name: "--node-timeout", value: "duration" },
          parse: duration,
        },
        compute: {
          help: "For each operation of the Compute API.",
          default: "5m",
          flag: { name: "--compute-timeout", value: "duration" },
          parse: duration,
        },
        verify: {
          help: "After bootstrap, for the cluster to answer through its public address and for Google to see each backend healthy; after drain and undrain, for Google to agree.",
          default: "3m",
          flag: { name: "--verify-timeout", value: "duration" },
          parse: duration,
        },
        drain: {
          help: "From when the health check has taken a drained node out until it is worked on: for the connections of the last moment to come to their requests.",
          default: "5s",
          flag: { name: "--drain-time", value: "duration" },
          parse: duration,
        },
      },
    },
  },
} as const satisfies Group;

/** What khw.yaml changes about a program's flags: a value sets, null removes. */
export type FlagChanges = Readonly<Record<string, string | null>>;

function componentFlags(component: Component): Setting<FlagChanges> {
  return {
    help: `For example {v: 4}, or on the command line --${component}-flag v=4; "name-" removes.`,
    default: {},
    flag: { name: `--${component}-flag`, value: "name=value", repeat: "map" },
    parse: record(parseFlagName, (value) => (value.kind === "empty" ? null : checked(parseFlagValue)(value))),
    merge: mergeRecords<string | null>,
  };
}
