import { configFile } from "../proto/config-files.ts";
import { components, type Component, credentialsOf, type Program, programs } from "../proto/components.ts";
import {
  aggregates,
  type Credential,
  type DesiredState,
  hasEtcd,
  hasEtcdCa,
  signsSeparately,
} from "../proto/desired.ts";
import { inOrder, type Step, withNeeds, withoutSteps } from "../proto/step.ts";
import { healthCheckOf } from "./health/health.ts";
import type { Os } from "./os/os.ts";
import {
  configFolder,
  credentialFile,
  dropInFolder,
  kubernetesEtcFolder,
  kubernetesFolder,
  nginxLink,
  nginxSite,
  schedulerConfigFile,
  unitFile,
} from "./paths.ts";
import { componentCommand, render } from "./render/components.ts";
import { renderSchedulerConfig } from "./render/kube-scheduler.ts";
import { renderNginxSite } from "./render/nginx.ts";
import { etcdReady, etcdSteps } from "./steps/etcd.ts";
import { binary, released } from "./steps/binary.ts";
import { dropIns } from "./steps/drop-ins.ts";
import { configFilesOf, configFileStep, configFileSteps, otherConfigFilesAreGone } from "./steps/config-files.ts";
import { absent, file, folder, link, presentFolder, sha256, textFile } from "./steps/files.ts";
import { agentFolders, releaseFolders, systemFolders } from "./steps/folders.ts";
import {
  etcdCaIsGone,
  frontProxyIsGone,
  needsOfCredential,
  recordOfCredentials,
  signingCaIsGone,
} from "./steps/unused-credentials.ts";
import { identity } from "./steps/identity.ts";
import { localClients, type LocalClients } from "./steps/local-clients.ts";
import { nginxPackage, nginxService } from "./steps/nginx.ts";
import { kmsPlugin, kmsStep, refuseWithoutPlugin } from "./steps/kms.ts";
import { ready } from "./steps/ready.ts";
import { service, serviceInputs, type WantedService } from "./steps/service.ts";

const schedulerConfig = "config/kube-scheduler.yaml";
const [kubernetes, config] = [`folder${kubernetesFolder}`, `folder${configFolder}`];

/** Settings of the node itself, in addition to the desired state. */
export interface Local {
  /** Whether nginx answers the load balancer's health check with 503. */
  readonly drained: boolean;
  /**
   * Set if the API server's step must stop the controller manager and the scheduler first. Not set for the
   * reconciler's repairs, because the supervisor, not the reconciler, starts stopped components.
   */
  readonly clients?: LocalClients;
  /**
   * Whether the machine has no control plane yet (agent/steps/control-plane.ts). If so, `clients` is ignored, because
   * no client runs yet. Default: false.
   */
  readonly isFresh?: boolean;
  /** The ID of the etcd cluster that the machine joins as a new member. */
  readonly joins?: string;
}

/**
 * Returns all steps that turn a machine into a controller. These are the steps of lab 08, in the lab's order. If khw
 * manages etcd, the steps of lab 07 are included. On a machine without a control plane, the steps of the API server
 * come before the downloads of the other programs.
 */
export function controllerSteps(
  desired: DesiredState,
  { drained, clients, isFresh = false, joins }: Local,
): Step<Os>[] {
  const order = isFresh ? apiserverFirst : allTogether;
  const steps = [
    identity(desired),
    systemFolders(),
    ...agentFolders.map((path) => presentFolder(path, 0o700)),
    folder(kubernetesEtcFolder, 0o755),
    folder(configFolder, 0o755, [`folder${kubernetesEtcFolder}`]),
    ...releaseFolders(desired).map((path) => folder(path, 0o755)),
    ...programs.map((program) => released(program, desired, order.download(program))),
    ...programs.map((program) => binary(program, desired, order.install(program))),
    folder(kubernetesFolder, 0o755),
    ...recordOfCredentials(desired),
    ...desired.credentials.map(credential),
    ...(hasEtcd(desired) ? etcdSteps(desired, joins) : []),
    textFile({
      id: schedulerConfig,
      path: schedulerConfigFile,
      mode: 0o644,
      content: renderSchedulerConfig(desired),
      needs: [config, ...order.use("kube-scheduler")],
    }),
    ...configFileSteps(desired),
    ...kmsPlugin(desired),
    ...components.map((component) => unit(component, desired, order.use(component))),
    ...components.flatMap((component) => dropIns(`${component}.service`)),
    ...components.flatMap((component) => [
      service(wantedService(component, desired, isFresh ? undefined : clients)),
      readyStep(component, drained),
    ]),
    ...(signsSeparately(desired) ? caKeyIsGone(desired) : [signingCaIsGone(desired)]),
    ...(aggregates(desired) ? [] : [frontProxyIsGone(desired)]),
    ...(hasEtcdCa(desired) ? [] : [etcdCaIsGone(desired)]),
    otherConfigFilesAreGone(desired),
    nginxPackage(),
    textFile({
      id: "nginx/site",
      path: nginxSite,
      mode: 0o644,
      content: renderNginxSite({ drained }),
      needs: ["package/nginx"],
    }),
    link({ id: "nginx/link", path: nginxLink, target: nginxSite, needs: ["package/nginx"] }),
    nginxService(
      [nginxSite, nginxLink, `${kubernetesFolder}/ca.pem`],
      ["nginx/site", "nginx/link", "credential/ca.pem"],
    ),
    readyStep("nginx", drained),
  ];
  return isFresh ? inOrder(steps) : steps;
}

/**
 * Returns the steps that download and verify the programs that the desired state requires. These steps do not change
 * anything that is running.
 */
export function downloadSteps(desired: DesiredState): Step<Os>[] {
  return withNeeds(controllerSteps(desired, { drained: false }), (id) => id.startsWith("release/"));
}

/**
 * Returns the steps that make a machine a new member of an existing etcd cluster. These steps start etcd, but no other
 * component.
 */
export function joinSteps(desired: DesiredState, clusterId: string): Step<Os>[] {
  return withNeeds(controllerSteps(desired, { drained: false, joins: clusterId }), (id) => id === etcdReady);
}

/**
 * Clients of the API server start only after the API server answers. These clients exit and restart if the API server
 * does not become ready soon. They must not be newer than the API server. On a small machine, they would also slow down
 * the start of the API server.
 */
const apiserverReady = "ready/kube-apiserver";

/** The steps that come before a program is downloaded, installed, or used by a unit. */
interface ProgramOrder {
  readonly download: (program: Program) => Pick<Step<Os>, "needs" | "after">;
  readonly install: (program: Program) => readonly string[];
  readonly use: (component: Component) => readonly string[];
}

const downloadOf = (program: Program): string => `release/${program}`;
const binaryOf = (program: Program): string => `binary/${program}`;

/**
 * The steps that install a release wait until all of its programs are available. If a program cannot be downloaded, the
 * machine must still be able to start as before.
 */
const allTogether: ProgramOrder = {
  download: () => ({ needs: [] }),
  install: () => programs.map(downloadOf),
  use: () => programs.map(binaryOf),
};

/**
 * A machine without a control plane has no earlier state to preserve. There, no program waits until another program is
 * available. The other programs are downloaded only after the API server has started, or could not start, because
 * downloads slow down its start (docs/decisions/first-start.md).
 */
const apiserverFirst: ProgramOrder = {
  download: (program) =>
    program === "kube-apiserver" ? { needs: [] } : { needs: [downloadOf("kube-apiserver")], after: [apiserverReady] },
  install: (program) => [downloadOf(program)],
  use: (component) => [binaryOf(component)],
};

/**
 * Returns the steps that install the desired Kubernetes release while its services are stopped: programs, units,
 * configuration and credentials. They do not start any service.
 */
export function installSteps(desired: DesiredState): Step<Os>[] {
  const inputs = components.map((component) => serviceInputs(wantedService(component, desired)));
  const all = [...controllerSteps(desired, { drained: false }), ...inputs];
  const ofProcesses = (id: string): boolean => /^(?:service|ready)\//.test(id) || id === etcdReady || id === kmsStep;
  return withNeeds(withoutSteps(all, ofProcesses), (id) => id.startsWith("inputs/"));
}

function readyStep(component: string, drained: boolean): Step<Os> {
  const needs = component === "kube-apiserver" ? [] : [apiserverReady];
  return ready(healthCheckOf(component, { drained }), [`service/${component}`, ...needs]);
}

/** Keys, and files that contain keys, are readable by root only. */
function credential({ name, sha256, content }: Credential): Step<Os> {
  const mode = name.endsWith(".pem") && !name.endsWith("-key.pem") ? 0o644 : 0o600;
  return file({
    id: `credential/${name}`,
    path: credentialFile(name),
    mode,
    sha256,
    content,
    needs: [kubernetes, ...needsOfCredential(name)],
  });
}

/**
 * Removes the key of the cluster's CA from a controller once no component on the controller signs with this key. Keeps
 * the key if a flag in khw.yaml names the file.
 */
function caKeyIsGone(desired: DesiredState): Step<Os>[] {
  const [path, needs] = [credentialFile("ca-key.pem"), ["service/kube-controller-manager"]];
  if (components.some((component) => componentCommand(component, desired).some((flag) => flag.includes(path))))
    return [];
  return [absent({ id: "credential/ca-key.pem", path, needs })];
}

function unit(component: Component, desired: DesiredState, needs: readonly string[]): Step<Os> {
  return textFile({
    id: `unit/${component}`,
    path: unitFile(`${component}.service`),
    mode: 0o644,
    content: render[component](desired),
    needs,
  });
}

function wantedService(component: Component, desired: DesiredState, clients?: LocalClients): WantedService {
  const scheduler = component === "kube-scheduler";
  const kms = component === "kube-apiserver" ? desired.kms : undefined;
  const credentials = desired.credentials.filter(({ name }) => credentialsOf[component].includes(name));
  const files = configFilesOf(component, desired);
  return {
    unit: `${component}.service`,
    command: componentCommand(component, desired),
    coreDumpsOff: desired.hardening.coreDumpsOff,
    inputs: [
      desired.kubernetesVersion,
      render[component](desired),
      ...(scheduler ? [renderSchedulerConfig(desired)] : []),
      ...credentials.map(({ name, sha256 }) => `${name} ${sha256}`),
      ...files.map(({ name, sha256 }) => `${configFile(name)} ${sha256}`),
    ],
    reads: [
      { path: unitFile(`${component}.service`), sha256: sha256(render[component](desired)) },
      ...(scheduler ? [{ path: schedulerConfigFile, sha256: sha256(renderSchedulerConfig(desired)) }] : []),
      ...credentials.map(({ name, sha256 }) => ({ path: credentialFile(name), sha256 })),
      ...files.map(({ name, sha256 }) => ({ path: configFile(name), sha256 })),
    ],
    needs: [
      `unit/${component}`,
      `folder${dropInFolder(`${component}.service`)}`,
      ...(scheduler ? [schedulerConfig] : []),
      ...credentials.map(({ name }) => `credential/${name}`),
      ...files.map(configFileStep),
      ...(kms !== undefined ? [kmsStep] : []),
      ...(component !== "kube-apiserver" ? [apiserverReady] : hasEtcd(desired) ? [etcdReady] : []),
      ...(component === "kube-apiserver" && clients !== undefined ? needsOfClients(desired) : []),
    ],
    ...(kms !== undefined && { beforeStop: (os) => refuseWithoutPlugin(kms, os) }),
    ...(component === "kube-apiserver" &&
      clients !== undefined && { beforeStart: (_, { signal }) => clients.stop(signal) }),
  };
}

/**
 * Returns the steps that the services of the controller manager and the scheduler need, besides a ready API server. If
 * one of these steps fails, the API server must not restart, because its stopped clients could not start again.
 */
function needsOfClients(desired: DesiredState): readonly string[] {
  const needs = localClients.flatMap((component) => wantedService(component, desired).needs);
  return [...new Set(needs)].filter((id) => id !== apiserverReady);
}
