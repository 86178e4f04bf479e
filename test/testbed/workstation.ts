/**
 * Provides khw-client and its files on a testbed's workstation, and installs agents on the machines.
 */
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { formatLock, type LockEntry } from "../../client/lock/entries.ts";
import { programs } from "../../proto/components.ts";
import packageJson from "../../package.json" with { type: "json" };
import { succeeded } from "./command.ts";
import type { RunOptions, RunResult } from "./command.ts";
import { realEtcdVersion } from "./etcd.ts";
import { metadataAddress } from "./layout.ts";
import type { TestbedNode } from "./node.ts";
import type { Testbed } from "./testbed.ts";

/** A workstation on the bridge's network, with a folder that contains khw.yaml and the management identities. */
export interface Workstation {
  readonly folder: string;
  /** Runs khw-client. A non-zero exit status is a result, not an error. */
  khw(args: readonly string[], options?: RunOptions): Promise<RunResult>;
  /** Runs a khw-client command and returns its standard output. Throws if the command fails. */
  readonly mustKhw: (args: readonly string[], options?: RunOptions) => Promise<string>;
  /** Runs the release's kubectl as the cluster's administrator, through the load balancer. */
  readonly kubectl: (args: readonly string[], options?: RunOptions) => Promise<RunResult>;
}

const { version: projectVersion } = packageJson;
const architecture = process.arch === "arm64" ? "arm64" : "amd64";

const repository = join(import.meta.dirname, "../..");

/** The path of the client that `npm run build` builds. */
export const clientProgram = join(repository, "build/client/khw-client");

/** The path of the agent's package that `npm run deb` builds. */
export const agentPackage = join(repository, `build/deb/khw-agent_${projectVersion}_${architecture}.deb`);

/** The Kubernetes version that Debian ships. The testbed's mirror serves the programs under this version. */
export const realVersion = "v1.20.2";

/**
 * The version label of the second release. When its API server stops, it completes requests on existing HTTP/2
 * connections, as in Kubernetes 1.21 and later (kubernetes.sh). Tests that count failed requests use this release.
 */
export const laterVersion = "v1.21.0";

/** A Kubernetes release of the testbed's mirror. */
export type TestbedRelease = typeof realVersion | typeof laterVersion;

/**
 * Creates the workstation's folder, which contains only a khw.yaml for this testbed. `bootstrap` creates all other
 * files. `settings` are additional lines for khw.yaml.
 */
export async function makeBareWorkstation(
  testbed: Testbed,
  settings = "",
  version: TestbedRelease = realVersion,
): Promise<Workstation> {
  const folder = join(testbed.folder, "workstation");
  await mkdir(folder, { recursive: true, mode: 0o700 });
  // In the testbed, the metadata server signs identity tokens with its own key, not with Google's.
  const keys = join(folder, "identity-keys.json");
  await writeFile(keys, await testbed.must(["curl", "-sSf", `http://${metadataAddress}/oauth2/v3/certs`]));
  const enrolment = `enrolment:\n  jwks: ${keys}\n`;
  await writeFile(
    join(folder, "khw.yaml"),
    khwYaml(testbed, version, await etcdSettings(testbed)) + enrolment + settings,
  );
  await writeFile(join(folder, "khw.lock"), formatLock(await lockEntries(testbed)), { mode: 0o644 });
  return openWorkstation(testbed);
}

/**
 * Removes khw.lock and the digests in khw.yaml. Returns the flags for a first download of the releases over TLS.
 * Requires a testbed with `tlsMirror`, and an etcd that khw manages.
 */
export async function useTlsMirror(
  { tlsMirrorUrl, tlsEtcdMirrorUrl, mirrorCa }: Testbed,
  { folder }: Workstation,
): Promise<readonly string[]> {
  await rm(join(folder, "khw.lock"));
  const path = join(folder, "khw.yaml");
  const digest = /^  sha256: .*\n/m;
  await writeFile(path, (await readFile(path, "utf8")).replace(digest, ""));
  return [`--mirror=${tlsMirrorUrl}`, `--etcd-mirror=${tlsEtcdMirrorUrl}`, `--mirror-ca=${mirrorCa}`];
}

/**
 * Returns the digests of all releases on the mirror. Without these digests, khw-client refuses a mirror without TLS.
 */
async function lockEntries({ kubernetes, mirrorUrl }: Testbed): Promise<LockEntry[]> {
  const entries: LockEntry[] = [];
  for (const version of (await readdir(kubernetes)).filter((name) => name.startsWith("v"))) {
    for (const program of programs) {
      const sha256 = (await readFile(join(kubernetes, version, `${program}.sha256`), "utf8")).slice(0, 64);
      const source = `${mirrorUrl}/${version}/bin/linux/${architecture}/${program}`;
      entries.push({ program, version, arch: architecture, sha256, source, signatures: [] });
    }
  }
  return entries;
}

/**
 * Does the same as makeBareWorkstation, and also creates a management CA, an administrator, and an identity for each
 * node.
 */
export async function makeWorkstation(
  testbed: Testbed,
  settings = "",
  version: TestbedRelease = realVersion,
): Promise<Workstation> {
  const workstation = await makeBareWorkstation(testbed, settings, version);
  await workstation.mustKhw(["pki", "init"]);
  await workstation.mustKhw([
    "pki",
    "issue",
    "--role",
    "agent",
    "--nodes",
    testbed.nodes.map(({ name }) => name).join(","),
  ]);
  return workstation;
}

/** Returns the handle of a workstation whose folder already exists. */
export function openWorkstation(testbed: Testbed): Workstation {
  const folder = join(testbed.folder, "workstation");
  const khw = (args: readonly string[], options: RunOptions = {}): Promise<RunResult> =>
    testbed.run([clientProgram, ...args], { timeoutMs: 1_800_000, cwd: folder, ...options });
  return {
    folder,
    khw,
    mustKhw: async (args, options) => succeeded(["khw-client", ...args], await khw(args, options)),
    kubectl: (args, options) => testbed.run(kubectlCommand(testbed, args), options),
  };
}

/** Returns a kubectl command that runs as the administrator, through the load balancer. */
export function kubectlCommand(testbed: Testbed, args: readonly string[]): readonly string[] {
  return [
    join(testbed.kubernetes, realVersion, "kubectl"),
    `--kubeconfig=${join(testbed.credentials, "admin.kubeconfig")}`,
    `--server=https://${testbed.publicAddress}:6443`,
    ...args,
  ];
}

/**
 * Returns the settings for machines without etcd, on which khw installs the mirror's etcd release. This release is
 * Debian's build, so its digest differs from the published release's digest.
 */
async function etcdSettings({ withEtcd, etcd, etcdMirrorUrl }: Testbed): Promise<string> {
  if (withEtcd) return "etcd:\n  mode: external\n";
  const [digest = ""] = (await readFile(join(etcd, realEtcdVersion, "SHA256SUMS"), "utf8")).split(" ");
  return `etcd:
  version: ${realEtcdVersion}
  mirrors: [${etcdMirrorUrl}]
  sha256: {${architecture}: ${digest}}
`;
}

function khwYaml(
  { mirrorUrl, computeUrl, credentials, nodes }: Testbed,
  version: TestbedRelease,
  etcd: string,
): string {
  // khw searches the whole region if no zone is set.
  const isOneZone = nodes.every(({ zone }) => zone === undefined);
  return `# This testbed stands in for Compute Engine and for the release mirror.
kubernetes:
  # The testbed's mirror serves only v1.20.2 and v1.21.0.
  version: ${version}
  mirrors: [${mirrorUrl}]
${etcd}credentials:
  folder: ${credentials}
gce:
  project: khw-testbed
  region: us-west1
${isOneZone ? "  zone: us-west1-c\n" : ""}  endpoint: ${computeUrl}
  auth: none
  nodeAddresses: internal
`;
}

/** Installs only the agent's package on all machines in parallel. Uses apt. */
export async function installPackage(nodes: readonly TestbedNode[], packageFile: string): Promise<void> {
  await Promise.all(
    nodes.map(async (node) => {
      await node.copyIn(packageFile, "/var/tmp/khw-agent.deb");
      await node.must(["apt-get", "install", "-qq", "-y", "/var/tmp/khw-agent.deb"], {
        env: { DEBIAN_FRONTEND: "noninteractive" },
        timeoutMs: 600_000,
      });
    }),
  );
}

/** Installs the agent's package on all machines in parallel and gives each agent its identity. */
export async function installAgents(
  { folder }: Workstation,
  nodes: readonly TestbedNode[],
  packageFile: string,
): Promise<void> {
  await installPackage(nodes, packageFile);
  await Promise.all(nodes.map((node) => giveIdentity(folder, node)));
}

/** Copies an identity to its node. Resolves when the agent is serving with this identity. */
async function giveIdentity(folder: string, node: TestbedNode): Promise<void> {
  const pki = join(folder, "khw-pki");
  await node.copyIn(join(pki, "ca.pem"), "/etc/khw-agent/pki/ca.pem");
  await node.copyIn(join(pki, `${node.name}-key.pem`), "/etc/khw-agent/pki/agent-key.pem");
  await node.copyIn(join(pki, `${node.name}.pem`), "/etc/khw-agent/pki/agent.pem");
  await node.must(["systemctl", "restart", "khw-agent.service"]);
}
