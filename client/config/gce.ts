import { parseNodeName } from "../../proto/validate.ts";
import { defaultEndpoint, labLoadBalancer } from "../gce/config.ts";
import { authentication, httpUrl, projectId } from "./domain.ts";
import { boolean, checked, oneOf, optional } from "./parsers.ts";
import type { Group } from "./setting.ts";

const resourceName = checked((field, name) => parseNodeName(field, name, "a resource's name"));

/** The group `gce` in khw.yaml. */
export const gce = {
  title: "Google Compute Engine: where the machines are, and the names of the load balancer's resources.",
  keys: {
    project: {
      help: "The project's id, by default from CLOUDSDK_CORE_PROJECT, then gcloud's active configuration, then GOOGLE_CLOUD_PROJECT.",
      default: null,
      flag: { name: "--project", value: "id" },
      parse: optional(checked(projectId)),
    },
    region: {
      help: "The load balancer's region, by default from CLOUDSDK_COMPUTE_REGION, then gcloud's active configuration, then the zone.",
      default: null,
      flag: { name: "--region", value: "name" },
      parse: optional(checked((field, name) => parseNodeName(field, name, "a region's name"))),
    },
    zone: {
      help: "The controllers' zone, by default from CLOUDSDK_COMPUTE_ZONE, then gcloud's active configuration, then the instances.",
      default: null,
      flag: { name: "--zone", value: "name" },
      parse: optional(checked((field, name) => parseNodeName(field, name, "a zone's name"))),
    },
    network: {
      help: "Name of the network for the firewall rule.",
      default: labLoadBalancer.network,
      flag: { name: "--network", value: "name" },
      parse: resourceName,
    },
    address: {
      help: "Name of the static address.",
      default: labLoadBalancer.addressName,
      flag: { name: "--address", value: "name" },
      parse: resourceName,
    },
    createAddress: {
      help: "Reserve the static address if it does not exist.",
      default: labLoadBalancer.createAddress,
      flag: { name: "--create-address" },
      parse: boolean,
    },
    healthCheck: {
      help: "Name of the legacy HTTP health check.",
      default: labLoadBalancer.healthCheck.name,
      flag: { name: "--health-check", value: "name" },
      parse: resourceName,
    },
    firewallRule: {
      help: "Name of the firewall rule that allows the health checks.",
      default: labLoadBalancer.firewallRule.name,
      flag: { name: "--firewall-rule", value: "name" },
      parse: resourceName,
    },
    targetPool: {
      help: "Name of the target pool.",
      default: labLoadBalancer.targetPool,
      flag: { name: "--target-pool", value: "name" },
      parse: resourceName,
    },
    forwardingRule: {
      help: "Name of the forwarding rule.",
      default: labLoadBalancer.forwardingRule,
      flag: { name: "--forwarding-rule", value: "name" },
      parse: resourceName,
    },
    nodeAddresses: {
      help: "Which address of the instance to use, external or internal, if a node has no host in khw.yaml.",
      default: "external",
      flag: { name: "--node-addresses", value: "external|internal" },
      parse: oneOf(["external", "internal"]),
    },
    auth: {
      help: "Credentials for the Compute API: auto, gcloud, none, or a service account's key file. auto uses application default credentials if they exist, and gcloud's token if they do not.",
      default: "auto",
      flag: { name: "--gce-auth", value: "how" },
      parse: authentication,
    },
    endpoint: {
      help: "Base URL of the Compute API.",
      default: defaultEndpoint,
      flag: { name: "--compute-endpoint", value: "url" },
      parse: (value) => `${httpUrl(value)}/`,
    },
  },
} as const satisfies Group;
