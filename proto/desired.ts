import { createHash } from "node:crypto";
import {
  type Component,
  components,
  type CredentialName,
  credentialNames,
  credentialSet,
  optionalCredentialNames,
  type Program,
  programs,
} from "./components.ts";
import { type ConfigFile, parseConfigFiles } from "./config-files.ts";
import { type Etcd, parseEtcd } from "./etcd.ts";
import { type KmsPlugin, parseKmsPlugin } from "./kms.ts";
import { type Hardening, parseHardening } from "./hardening.ts";
import type * as wire from "./gen/khw/agent/v1/agent.ts";
import { DriftPolicy } from "./gen/khw/agent/v1/agent.ts";
import { parseKubernetesVersion } from "./kubernetes-versions.ts";
import { parseServiceCidr, parseUsableCidr, refuseInside } from "./networks.ts";
import {
  cidrsOverlap,
  parseFlagName,
  parseFlagValue,
  parseIPv4,
  parseMirror,
  parseNodeName,
  parseSha256,
  parseUrl,
  refuse,
  show,
} from "./validate.ts";

/**
 * The desired state of one controller, validated. Only parseDesiredState creates it, from the DesiredState on the wire.
 */
export interface DesiredState {
  readonly node: string;
  readonly kubernetesVersion: string;
  readonly binaries: BinarySource;
  readonly cluster: Cluster;
  readonly flags: Readonly<Partial<Record<Component, FlagOverrides>>>;
  readonly credentials: readonly Credential[];
  /** How the agent responds to drift after the state has been applied. */
  readonly driftPolicy: "repair" | "report";
  /** Undefined if khw does not manage etcd. */
  readonly etcd: Etcd | undefined;
  /** The configuration files of the components, sorted by name. */
  readonly files: readonly ConfigFile[];
  readonly hardening: Hardening;
  /** Absent if the API server uses no KMS plugin that khw knows. */
  readonly kms?: KmsPlugin | undefined;
}

/** A desired state in which khw manages etcd. */
export type WithEtcd = DesiredState & { readonly etcd: Etcd };

export function hasEtcd(desired: DesiredState): desired is WithEtcd {
  return desired.etcd !== undefined;
}

export interface BinarySource {
  /** Base URLs or absolute folders, tried in order. */
  readonly mirrors: readonly string[];
  /** Empty: no proxy. */
  readonly proxy: string;
  /** Additional CA certificates in PEM; if empty, only the system's CAs are trusted. */
  readonly caPem: string;
  readonly sha256: Readonly<Partial<Record<Program, string>>>;
}

export interface Cluster {
  readonly name: string;
  readonly publicAddress: string;
  readonly controllers: readonly Controller[];
  /** Controllers that are being removed; their etcd members may still exist. */
  readonly leaving: readonly Controller[];
  readonly etcdServers: readonly string[];
  readonly serviceCidr: string;
  readonly clusterCidr: string;
  readonly nodePortRange: string;
}

export interface Controller {
  readonly name: string;
  readonly internalIp: string;
}

export interface FlagOverrides {
  readonly set: Readonly<Record<string, string>>;
  readonly remove: readonly string[];
}

export interface Credential {
  readonly name: CredentialName;
  readonly sha256: string;
  /** The content; absent if the desired state is only planned. */
  readonly content?: Uint8Array | undefined;
}

/** Returns the controller for which the desired state is meant. */
export function ownController(desired: DesiredState): Controller {
  const own = desired.cluster.controllers.find(({ name }) => name === desired.node);
  if (own === undefined) refuse("node", `${show(desired.node)} is not among the cluster's controllers`);
  return own;
}

/** @throws KhwError INVALID_ARGUMENT with the name of the field, if a value is invalid */
export function parseDesiredState(state: wire.DesiredState | undefined): DesiredState {
  if (state?.binaries === undefined || state.cluster === undefined) return refuse("desired", "is incomplete");
  const desired: DesiredState = {
    node: parseNodeName("node", state.node),
    kubernetesVersion: parseKubernetesVersion("kubernetes_version", state.kubernetesVersion).text,
    binaries: parseBinarySource(state.binaries),
    cluster: parseCluster(state.cluster),
    flags: Object.fromEntries(
      Object.entries(state.flags).map(([component, overrides]) => [
        parseComponent("flags", component),
        parseFlagOverrides(`flags.${component}`, overrides),
      ]),
    ),
    credentials: parseCredentials(state.credentials),
    driftPolicy: state.supervision?.driftPolicy === DriftPolicy.DRIFT_POLICY_REPORT ? "report" : "repair",
    etcd: state.etcd === undefined ? undefined : parseEtcd(state.etcd),
    files: parseConfigFiles(state.files),
    hardening: parseHardening(state.hardening),
    ...(state.kms !== undefined && { kms: parseKmsPlugin(state.kms) }),
  };
  ownController(desired);
  return desired;
}

function parseBinarySource(source: wire.BinarySource): BinarySource {
  if (source.mirrors.length === 0) refuse("binaries.mirrors", "is empty");
  if (source.proxy !== "") parseUrl("binaries.proxy", source.proxy, ["http:", "https:"]);
  return {
    mirrors: source.mirrors.map((mirror) => parseMirror("binaries.mirrors", mirror)),
    proxy: source.proxy,
    caPem: source.caPem,
    sha256: Object.fromEntries(
      Object.entries(source.sha256).map(([name, digest]) => [
        programs.find((program) => program === name) ??
          refuse("binaries.sha256", `${show(name)} is not a program that khw installs`),
        parseSha256(`binaries.sha256.${name}`, digest),
      ]),
    ),
  };
}

/**
 * Parses a desired state that will be applied, so every credential must have its content.
 * @throws KhwError INVALID_ARGUMENT
 */
export function parseCompleteState(state: wire.DesiredState | undefined): DesiredState {
  const desired = parseDesiredState(state);
  for (const { name, content } of desired.credentials) {
    if (content === undefined) refuse(`credentials.${name}`, "has no content");
  }
  for (const { name, content } of desired.files) {
    if (content === undefined) refuse(`files.${name}`, "has no content");
  }
  return desired;
}

function parseController(field: string, { name, internalIp }: wire.Controller): Controller {
  return { name: parseNodeName(field, name), internalIp: parseIPv4(`${field}.${name}`, internalIp) };
}

function parseCluster(cluster: wire.Cluster): Cluster {
  const { publicAddress, controllers, etcdServers, leaving } = cluster;
  const services = parseServiceCidr("cluster.service_cidr", cluster.serviceCidr);
  const pods = parseUsableCidr("cluster.cluster_cidr", cluster.clusterCidr);
  if (cidrsOverlap(services, pods))
    refuse("cluster.service_cidr", `${services.text} overlaps the cluster CIDR ${pods.text}`);
  if (controllers.length === 0) refuse("cluster.controllers", "is empty");
  if (etcdServers.length === 0) refuse("cluster.etcd_servers", "is empty");
  refuseDoubles(
    "cluster.controllers",
    controllers.map(({ name }) => name),
  );
  refuseDoubles(
    "cluster.controllers",
    controllers.map(({ internalIp }) => internalIp),
  );
  refuseInside({ "cluster.service_cidr": services.text, "cluster.cluster_cidr": pods.text }, [
    ...controllers.map(({ name, internalIp }) => ({ address: internalIp, holder: name })),
    { address: publicAddress, holder: "the API servers" },
  ]);
  return {
    name: parseNodeName("cluster.name", cluster.name),
    publicAddress: parseIPv4("cluster.public_address", publicAddress),
    controllers: controllers.map((controller) => parseController("cluster.controllers", controller)),
    leaving: leaving.map((controller) => parseController("cluster.leaving", controller)),
    etcdServers: etcdServers.map((url) => parseUrl("cluster.etcd_servers", url, ["https:"])),
    serviceCidr: services.text,
    clusterCidr: pods.text,
    nodePortRange: parsePortRange("cluster.node_port_range", cluster.nodePortRange),
  };
}

function parseFlagOverrides(field: string, overrides: wire.FlagOverrides): FlagOverrides {
  return {
    set: Object.fromEntries(
      Object.entries(overrides.set).map(([name, value]) => [
        parseFlagName(field, name),
        parseFlagValue(`${field}.${name}`, value),
      ]),
    ),
    remove: overrides.remove.map((name) => parseFlagName(field, name)),
  };
}

function parseCredentials(credentials: readonly wire.Credential[]): Credential[] {
  const parsed = credentials.map(({ name, sha256, content }): Credential => {
    const known =
      [...credentialNames, ...optionalCredentialNames].find((credential) => credential === name) ??
      refuse("credentials", `${show(name)} is not one of the cluster's credential files`);
    parseSha256(`credentials.${name}`, sha256);
    if (content !== undefined && createHash("sha256").update(content).digest("hex") !== sha256) {
      refuse(`credentials.${name}`, "the content does not match its digest");
    }
    return { name: known, sha256, content };
  });
  refuseDoubles(
    "credentials",
    parsed.map(({ name }) => name),
  );
  const wanted = credentialSet({
    signing: signsSeparately({ credentials: parsed }),
    aggregation: aggregates({ credentials: parsed }),
    etcdCa: hasEtcdCa({ credentials: parsed }),
  });
  const stray = parsed.find(({ name }) => !wanted.includes(name));
  if (stray !== undefined) refuse(`credentials.${stray.name}`, whyStray(stray.name));
  return wanted.map(
    (name) => parsed.find((credential) => credential.name === name) ?? refuse(`credentials.${name}`, "is missing"),
  );
}

function whyStray(name: CredentialName): string {
  if (name === "ca-key.pem") return "must not leave the workstation";
  const needed = ["front-proxy-ca.pem", "etcd-ca.pem"].find((ca) => name.startsWith(ca.replace("ca.pem", "")));
  return `is accepted only together with ${needed ?? "signing-ca.pem"}`;
}

/** Whether the API servers have an aggregation layer, which passes requests on to extension API servers. */
export function aggregates({ credentials }: Pick<DesiredState, "credentials">): boolean {
  return credentials.some(({ name }) => name === "front-proxy-ca.pem");
}

/** Whether etcd has its own CA. Otherwise, etcd trusts every certificate from the cluster's CA. */
export function hasEtcdCa({ credentials }: Pick<DesiredState, "credentials">): boolean {
  return credentials.some(({ name }) => name === "etcd-ca.pem");
}

/** Whether Kubernetes signs with a separate CA. No controller then holds the key of the cluster's CA. */
export function signsSeparately({ credentials }: Pick<DesiredState, "credentials">): boolean {
  return credentials.some(({ name }) => name === "signing-ca.pem");
}

export function parseComponent(field: string, name: string): Component {
  return (
    components.find((component) => component === name) ??
    refuse(field, `${show(name)} is not a component`, `use one of ${components.join(", ")}`)
  );
}

export function parsePortRange(field: string, text: string): string {
  const [, from = "", to = ""] = /^(\d{1,5})-(\d{1,5})$/.exec(text) ?? [];
  if (from === "" || Number(from) < 1 || Number(from) > Number(to) || Number(to) > 65_535) {
    refuse(field, `${show(text)} is not a port range`, "for example 30000-32767");
  }
  return text;
}

function refuseDoubles(field: string, values: readonly string[]): void {
  const double = values.find((value, index) => values.indexOf(value) !== index);
  if (double !== undefined) refuse(field, `${show(double)} is listed twice`);
}
