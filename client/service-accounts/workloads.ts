import { fieldOf, listOf, textAt } from "../pki/check/yaml.ts";

/** The pods of a workload that may hold outdated data, for example a token signed with an old key. */
export interface OldWorkload {
  readonly namespace: string;
  /** For example "Deployment". */
  readonly kind: string;
  readonly name: string;
  readonly pods: number;
  readonly why: string;
}

/** Adds the pod to the count of its workload. */
export function addPod(workloads: Map<string, OldWorkload>, metadata: unknown, why: string): void {
  const namespace = textAt(metadata, "namespace") ?? "";
  const { kind, name } = workloadOf(metadata);
  const key = [namespace, kind, name, why].join("\n");
  workloads.set(key, { namespace, kind, name, why, pods: (workloads.get(key)?.pods ?? 0) + 1 });
}

export function hasEnded(pod: unknown): boolean {
  const phase = textAt(fieldOf(pod, "status"), "phase");
  return phase === "Succeeded" || phase === "Failed";
}

export function isOlder(metadata: unknown, time: Date): boolean {
  const created = Date.parse(textAt(metadata, "creationTimestamp") ?? "");
  return Number.isNaN(created) || created <= time.getTime();
}

/** Returns the pod's workload: its Deployment, another controller, or the pod itself. */
function workloadOf(metadata: unknown): { readonly kind: string; readonly name: string } {
  const owner = listOf(metadata, "ownerReferences").find((reference) => fieldOf(reference, "controller") === true);
  const [kind, name] = [textAt(owner, "kind"), textAt(owner, "name")];
  if (kind === undefined || name === undefined) return { kind: "Pod", name: textAt(metadata, "name") ?? "" };
  const suffix = `-${textAt(fieldOf(metadata, "labels"), "pod-template-hash") ?? ""}`;
  if (kind === "ReplicaSet" && suffix !== "-" && name.endsWith(suffix))
    return { kind: "Deployment", name: name.slice(0, -suffix.length) };
  return { kind, name };
}
