import type { DeadBackend } from "../../proto/gen/khw/agent/v1/agent.ts";
import type { KubernetesApi } from "../../proto/kubernetes-api.ts";
import { readEndpoints } from "./endpoints.ts";
import { field, listField, textField } from "./objects.ts";
import { readApiServices, readWebhooks } from "./webhooks.ts";

/**
 * Returns the admission webhooks and APIServices that have no working backend. A webhook without a backend makes
 * requests fail, even the requests that an API server makes during its own start. Skips webhooks with failurePolicy
 * Ignore, and webhooks with a URL instead of a service.
 */
export async function readDeadBackends(api: KubernetesApi, signal: AbortSignal): Promise<DeadBackend[]> {
  const [services, webhooks] = await Promise.all([deadServices(api, signal), deadWebhooks(api, signal)]);
  return [...webhooks, ...services];
}

async function deadWebhooks(api: KubernetesApi, signal: AbortSignal): Promise<DeadBackend[]> {
  const webhooks = await readWebhooks(api, signal);
  const judged = await Promise.all(
    webhooks
      .filter(({ required }) => required)
      .map(async ({ kind, name, service }) => {
        const { reason } = await readEndpoints(api, service, signal);
        return reason === "" ? [] : [{ kind, name, reason }];
      }),
  );
  return judged.flat();
}

async function deadServices(api: KubernetesApi, signal: AbortSignal): Promise<DeadBackend[]> {
  const services = await readApiServices(api, signal);
  return services.flatMap(({ kind, name, object }) => {
    const conditions = listField(field(object, "status"), "conditions");
    const available = conditions.find((condition) => textField(condition, "type") === "Available");
    if (textField(available, "status") === "True") return [];
    return [{ kind, name, reason: textField(available, "message") || "it is not available" }];
  });
}
