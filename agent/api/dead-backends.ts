import type { DeadBackend } from "../../proto/gen/khw/agent/v1/agent.ts";
import type { KubernetesApi } from "../../proto/kubernetes-api.ts";
import { field, listField, readAll, refused, textField } from "./objects.ts";

const webhookKinds = [
  { kind: "ValidatingWebhookConfiguration", resource: "validatingwebhookconfigurations" },
  { kind: "MutatingWebhookConfiguration", resource: "mutatingwebhookconfigurations" },
] as const;

/**
 * Returns the admission webhooks and APIServices that have no working backend. Such a webhook makes requests fail, even
 * the requests that an API server makes while it is starting. Skips webhooks with failurePolicy Ignore, and webhooks
 * with a URL instead of a service.
 */
export async function readDeadBackends(api: KubernetesApi, signal: AbortSignal): Promise<DeadBackend[]> {
  const [services, ...webhooks] = await Promise.all([
    deadServices(api, signal),
    ...webhookKinds.map((kind) => deadWebhooks(api, kind, signal)),
  ]);
  return [...webhooks.flat(), ...services];
}

async function deadWebhooks(
  api: KubernetesApi,
  { kind, resource }: (typeof webhookKinds)[number],
  signal: AbortSignal,
): Promise<DeadBackend[]> {
  const objects = await readAll(api, `/apis/admissionregistration.k8s.io/v1/${resource}`, signal);
  const webhooks = objects.flatMap((object) =>
    listField(object, "webhooks")
      .filter((webhook) => textField(webhook, "failurePolicy") !== "Ignore")
      .map((webhook) => ({
        name: `${textField(field(object, "metadata"), "name")}/${textField(webhook, "name")}`,
        service: field(field(webhook, "clientConfig"), "service"),
      })),
  );
  const judged = await Promise.all(
    webhooks.map(async ({ name, service }) => {
      const reason = await whyDead(api, service, signal);
      return reason === undefined ? [] : [{ kind, name, reason }];
    }),
  );
  return judged.flat();
}

/**
 * Returns why a webhook's service has no working backend. Returns undefined if the service has a working backend, or if
 * the webhook does not refer to a service.
 */
async function whyDead(api: KubernetesApi, service: unknown, signal: AbortSignal): Promise<string | undefined> {
  const [namespace, name] = [textField(service, "namespace"), textField(service, "name")];
  if (name === "") return undefined;
  const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/endpoints/${encodeURIComponent(name)}`;
  const { status, body } = await api("GET", path, { signal });
  if (status === 404) return `the service ${namespace}/${name} does not exist`;
  if (status !== 200) throw refused(`GET ${path}`, status, body);
  const isReady = listField(body, "subsets").some((subset) => listField(subset, "addresses").length > 0);
  return isReady ? undefined : `the service ${namespace}/${name} has no ready endpoint`;
}

/** Skips APIServices without a service, because the API server serves them itself. */
async function deadServices(api: KubernetesApi, signal: AbortSignal): Promise<DeadBackend[]> {
  const objects = await readAll(api, "/apis/apiregistration.k8s.io/v1/apiservices", signal);
  return objects
    .filter((object) => textField(field(field(object, "spec"), "service"), "name") !== "")
    .flatMap((object) => {
      const conditions = listField(field(object, "status"), "conditions");
      const available = conditions.find((condition) => textField(condition, "type") === "Available");
      if (textField(available, "status") === "True") return [];
      const reason = textField(available, "message") || "it is not available";
      return [{ kind: "APIService", name: textField(field(object, "metadata"), "name"), reason }];
    });
}
