import type { KubernetesApi } from "../../proto/kubernetes-api.ts";
import { field, listField, readAll, textField } from "./objects.ts";

const webhookKinds = [
  { kind: "ValidatingWebhookConfiguration", resource: "validatingwebhookconfigurations" },
  { kind: "MutatingWebhookConfiguration", resource: "mutatingwebhookconfigurations" },
] as const;

/** A webhook or an APIService, and the service that it names. */
export interface NamedService {
  readonly kind: (typeof webhookKinds)[number]["kind"] | "APIService";
  /** The object's name; for a webhook, "OBJECT/WEBHOOK". */
  readonly name: string;
  /** The reference to the service. */
  readonly service: unknown;
  /** Whether requests fail if the service does not answer. */
  readonly required: boolean;
}

/** Returns all admission webhooks that name a service. A webhook with a URL names no service. */
export async function readWebhooks(api: KubernetesApi, signal: AbortSignal): Promise<NamedService[]> {
  const found = await Promise.all(
    webhookKinds.map(async ({ kind, resource }) => {
      const objects = await readAll(api, `/apis/admissionregistration.k8s.io/v1/${resource}`, signal);
      return objects.flatMap((object) =>
        listField(object, "webhooks").map((webhook) => ({
          kind,
          name: `${textField(field(object, "metadata"), "name")}/${textField(webhook, "name")}`,
          service: field(field(webhook, "clientConfig"), "service"),
          required: textField(webhook, "failurePolicy") !== "Ignore",
        })),
      );
    }),
  );
  return found.flat().filter(namesService);
}

/** Returns all APIServices that name a service. The API server itself serves the other APIServices. */
export async function readApiServices(
  api: KubernetesApi,
  signal: AbortSignal,
): Promise<readonly (NamedService & { readonly object: unknown })[]> {
  const objects = await readAll(api, "/apis/apiregistration.k8s.io/v1/apiservices", signal);
  return objects
    .map((object) => ({
      kind: "APIService" as const,
      name: textField(field(object, "metadata"), "name"),
      service: field(field(object, "spec"), "service"),
      required: true,
      object,
    }))
    .filter(namesService);
}

function namesService({ service }: NamedService): boolean {
  return textField(service, "name") !== "";
}
