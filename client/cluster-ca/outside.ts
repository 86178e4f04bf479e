import type { KubernetesApi } from "../../proto/kubernetes-api.ts";
import { fieldOf, listOf, textAt } from "../pki/check/yaml.ts";
import { listObjects, unexpected } from "../service-accounts/lists.ts";
import { addPod, hasEnded, isOlder, type OldWorkload } from "../service-accounts/workloads.ts";
import { certificatesOf, digestsOf } from "./certificates.ts";
import type { Authorities } from "./stage.ts";

/** An object in the cluster that contains the old CA. */
export interface TrustObject {
  /** For example "ValidatingWebhookConfiguration policy". */
  readonly name: string;
  readonly hasNew: boolean;
}

/** The known users of the old CA that khw does not manage. The lists contain only names. */
export interface Outside {
  /** The machines with a kubelet. */
  readonly nodes: readonly string[];
  /** The workloads with pods that may trust only the old CA, because they started before new pods got both CAs. */
  readonly workloads: readonly OldWorkload[];
  /** The signing requests whose certificates the old CA has signed. Kubernetes deletes these requests after an hour. */
  readonly requests: readonly string[];
  readonly objects: readonly TrustObject[];
}

export interface OutsideOptions extends Authorities {
  /** The time from which new pods get both CAs. */
  readonly since: Date;
  readonly signal: AbortSignal;
}

const accountPath = "/var/run/secrets/kubernetes.io/serviceaccount";
const bundles = [
  {
    kind: "ValidatingWebhookConfiguration",
    path: "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations",
  },
  { kind: "MutatingWebhookConfiguration", path: "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations" },
  { kind: "APIService", path: "/apis/apiregistration.k8s.io/v1/apiservices" },
] as const;
const clusterInfo = "/api/v1/namespaces/kube-public/configmaps/cluster-info";

/** Lists the users of the old CA that can be found through the API. */
export async function findOutside(api: KubernetesApi, options: OutsideOptions): Promise<Outside> {
  return {
    nodes: await namesOf(api, "/api/v1/nodes", options),
    workloads: await findWorkloads(api, options),
    requests: await findRequests(api, options),
    objects: [...(await findBundles(api, options)), ...(await findClusterInfo(api, options))],
  };
}

async function namesOf(api: KubernetesApi, path: string, { signal }: OutsideOptions): Promise<string[]> {
  const names: string[] = [];
  for await (const object of listObjects(api, path, { signal })) names.push(nameOf(object));
  return names;
}

async function findWorkloads(api: KubernetesApi, { since, signal }: OutsideOptions): Promise<OldWorkload[]> {
  const workloads = new Map<string, OldWorkload>();
  for await (const pod of listObjects(api, "/api/v1/pods", { signal })) {
    const metadata = fieldOf(pod, "metadata");
    if (hasEnded(pod) || !readsAccount(pod) || !isOlder(metadata, since)) continue;
    addPod(workloads, metadata, `started before ${since.toISOString()}`);
  }
  return [...workloads.values()];
}

/** Whether a container of the pod gets the service account's token, together with the CA. */
function readsAccount(pod: unknown): boolean {
  const spec = fieldOf(pod, "spec");
  const containers = ["containers", "initContainers", "ephemeralContainers"].flatMap((name) => listOf(spec, name));
  const mounts = containers.flatMap((container) => listOf(container, "volumeMounts"));
  return mounts.some((mount) => textAt(mount, "mountPath") === accountPath);
}

async function findRequests(api: KubernetesApi, { old, signal }: OutsideOptions): Promise<string[]> {
  const [authority] = certificatesOf(old.certificate);
  const found: string[] = [];
  const path = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
  for await (const request of listObjects(api, path, { signal })) {
    const encoded = textAt(fieldOf(request, "status"), "certificate");
    const [certificate] = encoded === undefined ? [] : certificatesOf(Buffer.from(encoded, "base64").toString("utf8"));
    if (authority !== undefined && certificate?.verify(authority.publicKey) === true) found.push(nameOf(request));
  }
  return found;
}

/** Returns the webhook configurations and APIServices whose servers may have a certificate from the old CA. */
async function findBundles(api: KubernetesApi, options: OutsideOptions): Promise<TrustObject[]> {
  const found: TrustObject[] = [];
  for (const { kind, path } of bundles) {
    for await (const object of listObjects(api, path, { signal: options.signal })) {
      const configs = [
        fieldOf(object, "spec"),
        ...listOf(object, "webhooks").map((webhook) => fieldOf(webhook, "clientConfig")),
      ];
      const texts = configs.flatMap((config) => textAt(config, "caBundle") ?? []);
      const judged = judge(`${kind} ${nameOf(object)}`, texts, options);
      if (judged !== undefined) found.push(judged);
    }
  }
  return found;
}

/** Returns the ConfigMap from which `kubeadm join` and similar tools read the CA. */
async function findClusterInfo(api: KubernetesApi, options: OutsideOptions): Promise<TrustObject[]> {
  const { status, body } = await api("GET", clusterInfo, { signal: options.signal });
  if (status === 404) return [];
  if (status !== 200) throw unexpected(`GET ${clusterInfo}`, status);
  const kubeconfig = textAt(fieldOf(body, "data"), "kubeconfig") ?? "";
  const texts = [...kubeconfig.matchAll(/certificate-authority-data: *"?([A-Za-z0-9+/=]+)/g)].map(
    ([, text = ""]) => text,
  );
  return [judge("ConfigMap kube-public/cluster-info", texts, options) ?? []].flat();
}

/** Returns undefined unless one of the Base64 texts contains the old CA. */
function judge(name: string, texts: readonly string[], { old, next }: Authorities): TrustObject | undefined {
  const [former, own] = [digestsOf(old.certificate), digestsOf(next.certificate)];
  const trusting = texts
    .map((text) => [...digestsOf(Buffer.from(text, "base64").toString("utf8"))])
    .filter((digests) => digests.some((digest) => former.has(digest)));
  if (trusting.length === 0) return undefined;
  return { name, hasNew: trusting.every((digests) => digests.some((digest) => own.has(digest))) };
}

function nameOf(object: unknown): string {
  return textAt(fieldOf(object, "metadata"), "name") ?? "";
}
