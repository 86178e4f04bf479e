import { type DesiredState, hasEtcd, hasEtcdCa, type WithEtcd } from "../../proto/desired.ts";
import { ownController } from "../../proto/desired.ts";
import { KhwError } from "../../proto/errors.ts";
import { clientUrl, etcdClientFiles, etcdPorts } from "../../proto/etcd.ts";
import { show } from "../../proto/validate.ts";
import { waitFor } from "../../proto/wait-for.ts";
import { missingDisk } from "../etcd/disk.ts";
import { findConflict } from "../etcd/conflict.ts";
import { kmsFinding } from "./kms.ts";
import { unitFindings } from "./units.ts";
import type { Os } from "../os/os.ts";
import { installedProgram, kubernetesFolder, releaseFolder, releasesFolder, unitFolder } from "../paths.ts";

/**
 * The ports that a controller needs. A port may already be in use by the program listed beside it, but by no other
 * program.
 */
const ports = [
  { port: 6443, holder: "kube-apiserver" },
  { port: 10257, holder: "kube-controller-manager" },
  { port: 10259, holder: "kube-scheduler" },
  { port: 80, holder: "nginx" },
] as const;
const memberPorts = [
  { port: etcdPorts.client, holder: "etcd" },
  { port: etcdPorts.peer, holder: "etcd" },
] as const;

const apiserverUnit = `${unitFolder}/kube-apiserver.service`;

const mebibyte = 1024 ** 2;
/** The four programs of a release take up nearly 500 MB; nginx and the units take up little. */
const spaceForRelease = 700 * mebibyte;
const spaceForFiles = 50 * mebibyte;
const etcdTimeoutMillis = 5_000;
const etcdIntervalMillis = 500;
/**
 * This limit is longer than an etcd election with the lab's settings. The election timeout is one second, and more than
 * one round is rare.
 */
const electionMillis = 5_000;

/** Returns all problems that prevent an Apply of this state, not only the first problem. Changes nothing. */
export async function preflight(desired: DesiredState, os: Os, signal: AbortSignal): Promise<KhwError[]> {
  const findings = await Promise.all([
    identityFinding(desired, os),
    shrinkFinding(desired, os),
    kmsFinding(desired, os),
    portFindings(hasEtcd(desired) ? [...ports, ...memberPorts] : ports, os),
    ...spaceFindings(desired, os),
    ...(hasEtcd(desired)
      ? [memberFinding(desired, os, signal), diskFinding(desired, os)]
      : [etcdFinding(desired, os, signal)]),
  ]);
  return [...findings.flat(), ...(await unitFindings(desired, os))]
    .filter((finding) => finding !== null)
    .map((finding) => finding.at({ node: os.identity.name, step: "preflight" }));
}

async function identityFinding(desired: DesiredState, { identity }: Os): Promise<KhwError | null> {
  const { name, internalIp } = ownController(desired);
  if (identity.name === name && identity.internalIp === internalIp) return null;
  return new KhwError(
    "IDENTITY_MISMATCH",
    `this machine is ${identity.name} at ${identity.internalIp}, not ${name} at ${internalIp}`,
    {
      hint: "fix the node's name or address in khw.yaml or --nodes",
    },
  );
}

/**
 * Rejects a shorter list of nodes, for example a list of one node instead of three. With such a list, the API server
 * would lose some of its current etcd members.
 */
async function shrinkFinding(desired: DesiredState, { files }: Os): Promise<KhwError | null> {
  const unit = (await files.read(apiserverUnit))?.toString("utf8") ?? "";
  const now = /--etcd-servers=([^\s'"]+)/.exec(unit)?.[1]?.split(",") ?? [];
  const wanted = desired.flags["kube-apiserver"]?.set["etcd-servers"]?.split(",") ?? desired.cluster.etcdServers;
  const removed = new Set(desired.cluster.leaving.map(clientUrl));
  const left = now.filter((server) => !wanted.includes(server) && !removed.has(server));
  if (left.length === 0 || wanted.some((server) => !now.includes(server))) return null;
  return new KhwError("PREFLIGHT_FAILED", `its API server would no longer use the etcd servers ${left.join(", ")}`, {
    hint: "list all controllers; to remove a controller, run `khw-client remove NODE`",
  });
}

/** An unreadable record counts as a finding too, so its error is returned instead of thrown. */
async function memberFinding(desired: WithEtcd, os: Os, signal: AbortSignal): Promise<KhwError | null> {
  try {
    return await findConflict(desired, os, signal);
  } catch (error) {
    if (error instanceof KhwError) return error;
    throw error;
  }
}

async function diskFinding({ etcd }: WithEtcd, { files }: Os): Promise<KhwError | null> {
  return etcd.dedicatedDisk ? missingDisk(files) : null;
}

interface Port {
  readonly port: number;
  readonly holder: string;
}

async function portFindings(needed: readonly Port[], { probes }: Os): Promise<KhwError[]> {
  const listeners = await probes.listeners(needed.map(({ port }) => port));
  return needed.flatMap(({ port, holder }) => {
    const listener = listeners.get(port);
    // The kernel truncates process names to 15 characters.
    if (listener === undefined || listener.name === holder.slice(0, 15)) return [];
    return new KhwError("PREFLIGHT_FAILED", `port ${port} is in use by ${listener.name} (pid ${listener.pid})`, {
      hint: `stop ${listener.name} (pid ${listener.pid}) on the node, because ${holder} needs this port`,
    });
  });
}

function spaceFindings(desired: DesiredState, { files }: Os): Promise<KhwError | null>[] {
  const require = async (path: string, wanted: number): Promise<KhwError | null> => {
    const available = await files.available(path);
    if (available >= wanted) return null;
    return new KhwError(
      "PREFLIGHT_FAILED",
      `only ${Math.floor(available / mebibyte)} MiB are free in ${path}, but khw needs ${wanted / mebibyte} MiB`,
      {
        hint: "free up space on that disk, or give the machine a larger disk",
      },
    );
  };
  const release = async (): Promise<KhwError | null> => {
    const installed = (await files.list(releaseFolder(desired.kubernetesVersion))).length > 0;
    return require(releasesFolder, installed ? spaceForFiles : spaceForRelease);
  };
  return [
    release(),
    ...[kubernetesFolder, "/etc/systemd/system", "/var/lib/dpkg", installedProgram("kubectl")].map((path) =>
      require(path, spaceForFiles),
    ),
  ];
}

/**
 * Checks that a majority of the etcd members are healthy. Connects with the API server's certificate, as the API server
 * itself does. Waits long enough for an election, because a member that rejoins can trigger an election.
 */
async function etcdFinding(
  desired: DesiredState,
  { probes, clock }: Os,
  signal: AbortSignal,
): Promise<KhwError | null> {
  const pem = (name: string): string | undefined => {
    const content = desired.credentials.find((credential) => credential.name === name)?.content;
    return content === undefined ? undefined : Buffer.from(content).toString("utf8");
  };
  const { ca, certificate, key } = etcdClientFiles(hasEtcdCa(desired));
  const [caPem, certPem, keyPem] = [pem(ca), pem(certificate), pem(key)];
  if (caPem === undefined || certPem === undefined || keyPem === undefined) return null;
  const { etcdServers } = desired.cluster;
  const ask = async (server: string): Promise<string | null> => {
    const options = { signal, timeoutMillis: etcdTimeoutMillis, caPem, certPem, keyPem };
    const { status, body } = await probes.http(`${server}/health`, options);
    if (status === 200 && /"health"\s*:\s*"?true/.test(body)) return null;
    return `${server}: ${status === 0 ? body : `answers ${status} ${show(body.trim())}`}`;
  };

  return waitFor<KhwError | null>({
    what: "etcd has no healthy majority",
    check: async () => {
      const unwell = (await Promise.all(etcdServers.map(ask))).filter((answer) => answer !== null);
      return unwell.length < etcdServers.length / 2 ? { reached: null } : { seen: unwell.join("; ") };
    },
    deadlineMillis: electionMillis,
    intervalMillis: etcdIntervalMillis,
    signal,
    clock,
    late: ({ seen }) =>
      new KhwError("PREFLIGHT_FAILED", `etcd has no healthy majority: ${seen}`, {
        hint: `start etcd on the controllers (lab 07), and make sure that its certificates are signed by the CA in ${ca}`,
      }),
  }).catch((error: unknown) => {
    if (error instanceof KhwError && error.code === "PREFLIGHT_FAILED") return error;
    throw error;
  });
}
