import { type DesiredState, hasEtcdCa, ownController } from "../../proto/desired.ts";
import { clientUrl, etcdPorts, etcdServerFiles, peerUrl } from "../../proto/etcd.ts";
import { etcdDataFolder, etcdFile, etcdMemberFolder, installedProgram } from "../paths.ts";

/** The members of a cluster for --initial-cluster, as a map from member name to peer URL. */
export type InitialCluster = ReadonlyMap<string, string>;

/** Returns the members, one on each controller. */
export function initialCluster({ cluster }: DesiredState): InitialCluster {
  return new Map(cluster.controllers.map((controller) => [controller.name, peerUrl(controller)]));
}

/** How a member without data starts. */
export interface FirstStart {
  readonly state: "new" | "existing";
  readonly members: InitialCluster;
}

/** The flag that etcd ignores as soon as it has data. Its value changes when controllers join or leave. */
export const membersFlag = "--initial-cluster";

/** Renders etcd.service from lab 07. */
export function renderEtcd(desired: DesiredState): string {
  return renderService(execStart(desired));
}

/**
 * Renders the inputs of etcd that require a restart when they change. The list of initial members is not among these
 * inputs.
 */
export function renderEtcdWithoutMembers(desired: DesiredState): string {
  return renderService(execStart(desired, { ...beginningOf(desired), members: new Map() }));
}

function renderService(start: string): string {
  return `[Unit]
Description=etcd
Documentation=https://github.com/coreos

[Service]
Type=notify
${start}
Restart=on-failure
RestartSec=5

[Install]
WantedBy=multi-user.target
`;
}

/** Returns the command line of the etcd process; the program's path comes first. */
export function etcdCommand(desired: DesiredState): [program: string, ...flags: string[]] {
  return [installedProgram("etcd"), ...flagsOf(desired, beginningOf(desired)).flat()];
}

/**
 * Renders a drop-in for a member that joins an existing cluster and copies the other members' data. The unit itself
 * stays identical to the lab's unit.
 */
export function renderEtcdJoin(desired: DesiredState, members: InitialCluster): string {
  // The two empty settings clear the condition from renderEtcdGuard and the command from the unit. With Type=exec,
  // starting the unit does not wait until the member has joined.
  return `[Unit]
ConditionPathExists=

[Service]
Type=exec
ExecStart=
${execStart(desired, { state: "existing", members })}
`;
}

/**
 * Renders a drop-in that keeps systemd from starting a member that has lost its data. With the lab's flags, a member
 * without data would create a new cluster.
 */
export function renderEtcdGuard(): string {
  return `[Unit]\nConditionPathExists=${etcdMemberFolder}\n`;
}

function execStart(desired: DesiredState, beginning: FirstStart = beginningOf(desired)): string {
  const flags = flagsOf(desired, beginning);
  return `ExecStart=${[installedProgram("etcd"), ...flags.map((words) => words.join(" "))].join(" \\\n  ")}`;
}

function beginningOf(desired: DesiredState): FirstStart {
  return { state: "new", members: initialCluster(desired) };
}

/** Returns the lab's flags, and after them the flags that khw.yaml adds. */
function flagsOf(desired: DesiredState, beginning: FirstStart): string[][] {
  const suites = desired.hardening.etcdCipherSuites;
  const added = suites.length === 0 ? [] : [[`--cipher-suites=${suites.join(",")}`]];
  return [...labFlags(desired, beginning), ...added];
}

/** Returns the lab's flags in the lab's order, each spelled as in the lab. */
function labFlags(desired: DesiredState, { state, members }: FirstStart): string[][] {
  const own = ownController(desired);
  const { ca, certificate, key } = etcdServerFiles(hasEtcdCa(desired));
  return [
    ["--name", own.name],
    [`--cert-file=${etcdFile(certificate)}`],
    [`--key-file=${etcdFile(key)}`],
    [`--peer-cert-file=${etcdFile(certificate)}`],
    [`--peer-key-file=${etcdFile(key)}`],
    [`--trusted-ca-file=${etcdFile(ca)}`],
    [`--peer-trusted-ca-file=${etcdFile(ca)}`],
    ["--peer-client-cert-auth"],
    ["--client-cert-auth"],
    ["--initial-advertise-peer-urls", peerUrl(own)],
    ["--listen-peer-urls", peerUrl(own)],
    ["--listen-client-urls", `${clientUrl(own)},https://127.0.0.1:${etcdPorts.client}`],
    ["--advertise-client-urls", clientUrl(own)],
    ["--initial-cluster-token", "etcd-cluster-0"],
    [membersFlag, [...members].map(([name, url]) => `${name}=${url}`).join(",")],
    ["--initial-cluster-state", state],
    [`--data-dir=${etcdDataFolder}`],
  ];
}
