/** Creates the files of labs 04 to 06 for one cluster: certificates, kubeconfigs and the encryption configuration. */
import { randomBytes } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { issue, makeAuthority } from "./certificates.ts";
import type { Place } from "./layout.ts";

/** The cluster for which the credentials are valid. */
export interface Cluster {
  readonly nodes: readonly Pick<Place, "address">[];
  readonly publicAddress: string;
}

/** The names of the API server in lab 04. */
const serverNames = [
  "kubernetes",
  "kubernetes.default",
  "kubernetes.default.svc",
  "kubernetes.default.svc.cluster",
  "kubernetes.svc.cluster.local",
];

/**
 * Returns the subject alternative names for `kubernetes.pem`. They are the same as in lab 04, but with this cluster's
 * addresses.
 */
export function subjectAlternativeNames({ nodes, publicAddress }: Cluster): readonly string[] {
  const addresses = ["10.32.0.1", ...nodes.map(({ address }) => address), publicAddress, "127.0.0.1"];
  return [...addresses.map((address) => `IP:${address}`), ...serverNames.map((name) => `DNS:${name}`)];
}

/**
 * Creates the labs' files in a folder (mode 0700). The certificates are `ca`, `admin`, `kube-controller-manager`,
 * `kube-scheduler`, `kubernetes` and `service-account`, as `.pem` and `-key.pem`. The other files are
 * `encryption-config.yaml` and the kubeconfigs of `admin`, `kube-controller-manager` and `kube-scheduler`.
 */
export async function makeCredentials(folder: string, cluster: Cluster): Promise<void> {
  await makeAuthority(folder);
  await Promise.all([
    issue(folder, "admin"),
    issue(folder, "kube-controller-manager"),
    issue(folder, "kube-scheduler"),
    issue(folder, "kubernetes", { names: subjectAlternativeNames(cluster) }),
    issue(folder, "service-account"),
    writeFile(join(folder, "encryption-config.yaml"), encryptionConfig(), { mode: 0o600 }),
  ]);
  for (const [name, user] of Object.entries(kubeconfigUsers)) await writeKubeconfig(folder, name, user);
}

/** Creates an empty folder. khw itself must create the certificates, kubeconfigs and encryption key. */
export async function noCredentials(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
}

/**
 * The kubeconfigs from lab 05 that a controller or an operator needs. Each has a file name (without extension) and a
 * user.
 */
const kubeconfigUsers = {
  admin: "admin",
  "kube-controller-manager": "system:kube-controller-manager",
  "kube-scheduler": "system:kube-scheduler",
} as const;

async function writeKubeconfig(folder: string, name: string, user: string): Promise<void> {
  const encoded = async (file: string): Promise<string> => (await readFile(join(folder, file))).toString("base64");
  const text = `apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: ${await encoded("ca.pem")}
    server: https://127.0.0.1:6443
  name: kubernetes-the-hard-way
contexts:
- context:
    cluster: kubernetes-the-hard-way
    user: ${user}
  name: default
current-context: default
kind: Config
preferences: {}
users:
- name: ${user}
  user:
    client-certificate-data: ${await encoded(`${name}.pem`)}
    client-key-data: ${await encoded(`${name}-key.pem`)}
`;
  await writeFile(join(folder, `${name}.kubeconfig`), text, { mode: 0o600 });
}

/** Returns the encryption configuration of lab 06, with a new key on every call. */
function encryptionConfig(): string {
  return `kind: EncryptionConfig
apiVersion: v1
resources:
  - resources:
      - secrets
    providers:
      - aescbc:
          keys:
            - name: key1
              secret: ${randomBytes(32).toString("base64")}
      - identity: {}
`;
}
