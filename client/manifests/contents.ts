import { toKhwError } from "../../proto/errors.ts";
import type { KubernetesApi } from "../../proto/kubernetes-api.ts";
import { fieldOf, listOf, textAt } from "../pki/check/yaml.ts";
import { listObjects } from "../service-accounts/lists.ts";
import { describeObject, groupOf, isDefinition, isNamespace, type ObjectName, uidOf } from "./object.ts";
import { allVersions, collectionOf, type Discovery, listedResources, type Resource } from "./resources.ts";

/** The number of objects to name in a message. */
const mostNamed = 3;

export interface ContentsOptions {
  readonly discover: Discovery;
  /** The identifiers of objects to ignore, because these objects are deleted earlier. */
  readonly except: ReadonlySet<string>;
  readonly signal: AbortSignal;
}

/**
 * Returns a description of the data that would be lost with an object; undefined if no other data would be lost. The
 * description says so if the contents cannot be listed completely.
 */
export async function findContents(
  api: KubernetesApi,
  { name, live }: { readonly name: ObjectName; readonly live: unknown },
  options: ContentsOptions,
): Promise<string | undefined> {
  if (name.kind === "PersistentVolumeClaim" || name.kind === "PersistentVolume") return "it may hold data";
  try {
    const lists = isNamespace(name)
      ? (await namespacedResources(api, options)).map((resource) => ({
          resource,
          path: collectionOf(resource, name.name),
        }))
      : isDefinition(name)
        ? definedBy(live).map((resource) => ({ resource, path: collectionOf(resource) }))
        : [];
    const found: string[] = [];
    for (const { resource, path } of lists) {
      for await (const object of listObjects(api, path, options)) {
        if (isAutomatic(resource, object) || options.except.has(uidOf(object) ?? "")) continue;
        const metadata = fieldOf(object, "metadata");
        if (found.length === mostNamed) return `it contains ${found.join(", ")} and more`;
        const { kind } = resource;
        const [namespace, inner = "?"] = [textAt(metadata, "namespace"), textAt(metadata, "name")];
        found.push(describeObject({ kind, namespace, name: inner }));
      }
    }
    return found.length === 0 ? undefined : `it contains ${found.join(", ")}`;
  } catch (thrown) {
    options.signal.throwIfAborted();
    return `its contents cannot be listed (${toKhwError(thrown).message})`;
  }
}

/** Returns each namespaced kind once, in any version that supports list and delete. */
async function namespacedResources(
  api: KubernetesApi,
  { discover, signal }: Pick<ContentsOptions, "discover" | "signal">,
): Promise<Resource[]> {
  const read = async (version: string): Promise<readonly Resource[]> => {
    const known = await discover(version);
    return known.length > 0 ? known : listedResources(api, version, signal);
  };
  const all = (await Promise.all((await allVersions(api, signal)).map(read))).flat();
  const usable = all.filter(
    ({ namespaced, verbs }) => namespaced && verbs.includes("list") && verbs.includes("delete"),
  );
  return [...new Map(usable.map((resource) => [`${groupOf(resource)}/${resource.plural}`, resource])).values()];
}

function definedBy(live: unknown): Resource[] {
  const spec = fieldOf(live, "spec");
  const names = fieldOf(spec, "names");
  const [group, kind, plural] = [textAt(spec, "group"), textAt(names, "kind"), textAt(names, "plural")];
  const served = listOf(spec, "versions").find((version) => fieldOf(version, "served") === true);
  const version = textAt(served, "name");
  if (group === undefined || kind === undefined || plural === undefined || version === undefined)
    throw new TypeError("the definition serves no version");
  return [{ apiVersion: `${group}/${version}`, kind, plural, namespaced: false, verbs: [] }];
}

/** Whether Kubernetes creates the object in every namespace, or the object is only a log entry. */
function isAutomatic(resource: Resource, object: unknown): boolean {
  const { kind } = resource;
  const name = textAt(fieldOf(object, "metadata"), "name") ?? "";
  if (!["", "events.k8s.io"].includes(groupOf(resource))) return false;
  if (kind === "Event") return true;
  if (kind === "ServiceAccount") return name === "default";
  if (kind === "ConfigMap") return name === "kube-root-ca.crt";
  return (
    kind === "Secret" &&
    textAt(object, "type") === "kubernetes.io/service-account-token" &&
    name.startsWith("default-token-")
  );
}
