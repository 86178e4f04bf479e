import type { X509Certificate } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { credentialNames } from "../../proto/components.ts";
import { dayMillis } from "../../proto/time.ts";
import { isErrno } from "../../proto/errno.ts";
import { KhwError, toKhwError } from "../../proto/errors.ts";
import { roleOf } from "../../proto/roles.ts";
import { largestClockDifference } from "../cluster/clock-skew.ts";
import { subjectOf } from "../../proto/subject.ts";
import type { ClusterConfig } from "../config/schema.ts";
import { collect } from "../pki/check/problem.ts";
import { kubeconfigIn } from "../pki/check/kubeconfig.ts";
import { readCertificates } from "../pki/check/pem.ts";
import { readManagementIdentity } from "../cluster/channel.ts";
import { instant } from "../terminal/time.ts";
import { type DoctorCheck, type Finding, findingOf, places } from "./check.ts";
import { answered, type Facts } from "./facts.ts";

const { workstation: where } = places;
const issueManagement =
  "run khw-client pki issue --role admin NAME, and set the paths of the new files under `management` in khw.yaml";

/** Checks that need no answers from the nodes. */
export function fileChecks(config: ClusterConfig): DoctorCheck[] {
  return [
    {
      where,
      title: "the management identity can be used",
      run: async () => managementFindings(config, Date.now()),
    },
    {
      where,
      title: "only the owner can read the private keys",
      run: async () => (await Promise.all(keyFiles(config).map(openKey))).flat(),
    },
    {
      where,
      title: "the cluster's certificates are valid for at least 30 more days",
      run: async () => expiryFindings(config, Date.now()),
    },
  ];
}

/** Checks that also need the nodes' answers. */
export function workstationChecks(facts: Facts): DoctorCheck[] {
  return [
    {
      where,
      title: "the cluster's credentials match the cluster",
      run: async () => {
        const { problems, unknown } = await facts.credentials();
        if (!problems.some(({ severity }) => severity === undefined) && unknown.length > 0) {
          const message = `the address of ${unknown.join(", ")} is unknown, so khw cannot check whether kubernetes.pem contains it`;
          throw new KhwError("UNREACHABLE", message);
        }
        // Another check reports certificates that expire soon.
        const others = problems.filter(
          ({ severity, field }) => severity === undefined || field?.endsWith("notAfter") !== true,
        );
        return others.map(({ file, field, what, remedy, severity }) => ({
          severity: severity ?? "error",
          where,
          subject: join(facts.config.credentials.folder, file),
          message: field === undefined ? what : `${field}: ${what}`,
          remedy,
        }));
      },
    },
    {
      where,
      title: "the clock agrees with the agents' clocks",
      run: async () => clockFinding((await answered(facts)).map(({ clock: { ahead } }) => ahead)),
    },
    ...(facts.cluster.cloud === undefined ? [] : [computeCheck(facts)]),
  ];
}

async function managementFindings({ management }: ClusterConfig, now: number): Promise<Finding[]> {
  try {
    const identity = await readManagementIdentity(management);
    const [authority] = readCertificates(identity.ca);
    const [own] = readCertificates(identity.certificate);
    if (authority === undefined || own === undefined) {
      const file = authority === undefined ? management.ca : management.certificate;
      return [{ severity: "error", where, subject: file, message: "is not a certificate", remedy: issueManagement }];
    }
    const findings = [...ending(management.ca, authority, now), ...ending(management.certificate, own, now)];
    const problem = (message: string): Finding => ({
      severity: "error",
      where,
      subject: management.certificate,
      message,
      remedy: issueManagement,
    });
    if (!own.checkIssued(authority) || !own.verify(authority.publicKey)) {
      findings.push(problem(`was not issued by the CA in ${management.ca}`));
    }
    const role = roleOf(subjectOf(own)["O"]);
    if (role !== "admin" && role !== "viewer") findings.push(problem("has no role that agents accept"));
    return findings;
  } catch (error) {
    return [findingOf(toKhwError(error), where, "management identity")];
  }
}

/** Returns a finding unless the certificate is valid for another 30 days. */
function ending(subject: string, { validFrom, validTo }: X509Certificate, now: number): Finding[] {
  const [from, to] = [Date.parse(validFrom), Date.parse(validTo)];
  const [, name] =
    /(?:^|\/)(kubernetes|kube-controller-manager|kube-scheduler|front-proxy-client|etcd-server|etcd-client)\.(?:pem|kubeconfig)$/.exec(
      subject,
    ) ?? [];
  const remedy =
    name === undefined ? "issue a new certificate, then run khw-client bootstrap" : `khw-client pki renew ${name}`;
  if (from > now) {
    const message = `is not valid before ${instant(from)} UTC`;
    return [{ severity: "error", where, subject, message, remedy: "check this machine's clock" }];
  }
  if (to - now > 30 * dayMillis) return [];
  const message = `${to < now ? "expired" : "expires"} on ${instant(to)} UTC`;
  return [{ severity: to - now > 7 * dayMillis ? "warning" : "error", where, subject, message, remedy }];
}

/** Returns all files that would let their readers act as the cluster or as its administrator. */
function keyFiles({ management, credentials }: ClusterConfig): string[] {
  const { folder, adminKubeconfig = join(folder, "admin.kubeconfig") } = credentials;
  const secret = [
    ...credentialNames,
    "signing-ca-key.pem",
    "front-proxy-ca-key.pem",
    "front-proxy-client-key.pem",
    "etcd-ca-key.pem",
    "etcd-server-key.pem",
    "etcd-client-key.pem",
  ].filter((name) => !name.endsWith(".pem") || name.endsWith("-key.pem"));
  return [
    management.key,
    join(dirname(management.ca), "ca-key.pem"),
    ...secret.map((name) => join(folder, name)),
    adminKubeconfig,
  ];
}

/** Ignores a missing file, because another check reports missing files. */
async function openKey(path: string): Promise<Finding[]> {
  try {
    const { mode } = await stat(path);
    if ((mode & 0o077) === 0) return [];
    const message = `other users can read or change it (mode ${(mode & 0o777).toString(8).padStart(4, "0")})`;
    return [{ severity: "warning", where, subject: path, message, remedy: `chmod 600 ${path}` }];
  } catch (error) {
    if (isErrno(error, "ENOENT")) return [];
    throw error;
  }
}

async function expiryFindings({ aggregation, credentials }: ClusterConfig, now: number): Promise<Finding[]> {
  const { folder, adminKubeconfig = join(folder, "admin.kubeconfig") } = credentials;
  const files = [
    "ca.pem",
    "kubernetes.pem",
    "kube-controller-manager.kubeconfig",
    "kube-scheduler.kubeconfig",
    ...(aggregation ? ["front-proxy-ca.pem", "front-proxy-client.pem"] : []),
    "etcd-ca.pem",
    "etcd-server.pem",
    "etcd-client.pem",
  ];
  const paths = [...files.map((name) => join(folder, name)), adminKubeconfig];
  const found = await Promise.all(
    paths.map(async (path) => {
      try {
        const content = await readFile(path);
        const pem = path.endsWith(".pem") ? content : collect(kubeconfigIn(path, content)).result?.certificate;
        return readCertificates(pem ?? Buffer.of()).flatMap((certificate) => ending(path, certificate, now));
      } catch (error) {
        if (isErrno(error, "ENOENT")) return undefined;
        throw error;
      }
    }),
  );
  const read = found.filter((findings) => findings !== undefined);
  if (read.length > 0) return read.flat();
  throw new KhwError("CREDENTIAL_INVALID", `there are no certificates in ${folder}`);
}

/**
 * Compares this machine's clock with the median of the agents' clocks. With the median, a wrong clock on one node does
 * not cause a finding about the workstation.
 */
function clockFinding(ahead: readonly number[]): Finding[] {
  const median = ahead.toSorted((one, other) => one - other)[Math.floor(ahead.length / 2)] ?? 0;
  if (Math.abs(median) <= largestClockDifference) return [];
  const message = `is ${Math.round(Math.abs(median) / 1000)} s ${median > 0 ? "behind" : "ahead of"} the agents' clocks`;
  const remedy = "turn on time synchronization: timedatectl set-ntp true";
  return [{ severity: "warning", where, subject: "clock", message, remedy }];
}

function computeCheck({ cluster: { cloud, config } }: Facts): DoctorCheck {
  return {
    where,
    title: "the credentials for the Compute Engine API are accepted",
    run: async (signal) => {
      if (cloud === undefined) return [];
      const { loadBalancerReferences } = await import("../gce/load-balancer.ts");
      try {
        await cloud.compute.get(loadBalancerReferences(cloud.loadBalancer).address, signal);
        return [];
      } catch (error) {
        return [findingOf(toKhwError(error), where, `Compute Engine API (gce.auth: ${config.gce.auth})`)];
      }
    },
  };
}
