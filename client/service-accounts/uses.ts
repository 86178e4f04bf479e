import type { KeyObject } from "node:crypto";
import type { KubernetesApi } from "../../proto/kubernetes-api.ts";
import { fieldOf, listOf, textAt } from "../pki/check/yaml.ts";
import { listObjects } from "./lists.ts";
import { addPod, hasEnded, isOlder, type OldWorkload } from "./workloads.ts";

/** A Secret with a token that the new key did not sign. */
export interface OldSecret {
  readonly namespace: string;
  readonly name: string;
  readonly serviceAccount: string;
  /** The number of pods that use the Secret. */
  readonly pods: number;
}

/** The known uses of the old key. Contains only names, never a token. */
export interface OldUses {
  readonly secrets: readonly OldSecret[];
  readonly workloads: readonly OldWorkload[];
}

export interface FindUsesOptions {
  /** The new public key. */
  readonly newKey: KeyObject;
  /** The time from which every API server has signed with the new key. */
  readonly signingSince: Date;
  readonly signal: AbortSignal;
}

export const secretType = "kubernetes.io/service-account-token";
const accountAnnotation = "kubernetes.io/service-account.name";

/** Lists the Secrets with tokens signed with the old key, and the workloads whose pods may hold such a token. */
export async function findUses(api: KubernetesApi, options: FindUsesOptions): Promise<OldUses> {
  const { newKey, signingSince, signal } = options;
  const secrets = await findOldSecrets(api, newKey, signal);
  const known = new Map(secrets.map((secret) => [`${secret.namespace}/${secret.name}`, { secret, pods: 0 }]));
  const workloads = new Map<string, OldWorkload>();
  for await (const pod of listObjects(api, "/api/v1/pods", { signal })) {
    const metadata = fieldOf(pod, "metadata");
    const namespace = textAt(metadata, "namespace") ?? "";
    if (hasEnded(pod)) continue;
    const mounted = secretsOf(pod).filter((name) => known.has(`${namespace}/${name}`));
    for (const name of mounted) {
      const entry = known.get(`${namespace}/${name}`);
      if (entry !== undefined) entry.pods += 1;
    }
    const why =
      mounted.length > 0
        ? `uses the Secret ${mounted.join(", ")}`
        : projectsToken(pod) && isOlder(metadata, signingSince)
          ? `started before ${signingSince.toISOString()}`
          : undefined;
    if (why === undefined) continue;
    addPod(workloads, metadata, why);
  }
  return {
    secrets: [...known.values()].map(({ secret, pods }) => ({ ...secret, pods })),
    workloads: [...workloads.values()],
  };
}

/** Lists the Secrets whose token was not signed with the new key. The tokens themselves are not kept. */
export async function findOldSecrets(
  api: KubernetesApi,
  newKey: KeyObject,
  signal: AbortSignal,
): Promise<Omit<OldSecret, "pods">[]> {
  const found: Omit<OldSecret, "pods">[] = [];
  const query = { fieldSelector: `type=${secretType}` };
  for await (const secret of listObjects(api, "/api/v1/secrets", { signal, query })) {
    const token = tokenOf(secret);
    if (token === undefined || (await isSignedBy(token, newKey))) continue;
    const metadata = fieldOf(secret, "metadata");
    found.push({
      namespace: textAt(metadata, "namespace") ?? "",
      name: textAt(metadata, "name") ?? "",
      serviceAccount: textAt(fieldOf(metadata, "annotations"), accountAnnotation) ?? "",
    });
  }
  return found;
}

/** Returns the token in a Secret; undefined if the Secret has no token yet. */
export function tokenOf(secret: unknown): string | undefined {
  const encoded = textAt(fieldOf(secret, "data"), "token");
  return encoded === undefined ? undefined : Buffer.from(encoded, "base64").toString("utf8");
}

/** Whether the key signed the token. */
export async function isSignedBy(token: string, key: KeyObject): Promise<boolean> {
  const { compactVerify } = await import("jose");
  try {
    await compactVerify(token, key);
    return true;
  } catch {
    // Any error means that this key did not sign the token, even if the token is damaged or needs another type of key.
    return false;
  }
}

/** Returns the Secrets that the pod mounts or reads into its environment. */
function secretsOf(pod: unknown): string[] {
  const spec = fieldOf(pod, "spec");
  const mounted = listOf(spec, "volumes").flatMap((volume) => [
    textAt(fieldOf(volume, "secret"), "secretName"),
    ...listOf(fieldOf(volume, "projected"), "sources").map((source) => textAt(fieldOf(source, "secret"), "name")),
  ]);
  const containers = ["containers", "initContainers", "ephemeralContainers"].flatMap((name) => listOf(spec, name));
  const read = containers.flatMap((container) => [
    ...listOf(container, "env").map((entry) => textAt(fieldOf(fieldOf(entry, "valueFrom"), "secretKeyRef"), "name")),
    ...listOf(container, "envFrom").map((entry) => textAt(fieldOf(entry, "secretRef"), "name")),
  ]);
  return [...new Set([...mounted, ...read].filter((name) => name !== undefined))];
}

/** Whether the kubelet requests tokens for the pod from the API server. */
function projectsToken(pod: unknown): boolean {
  return listOf(fieldOf(pod, "spec"), "volumes").some((volume) =>
    listOf(fieldOf(volume, "projected"), "sources").some(
      (source) => fieldOf(source, "serviceAccountToken") !== undefined,
    ),
  );
}
