import { KhwError } from "../../proto/errors.ts";
import { fieldOf, listOf, textAt } from "../pki/check/yaml.ts";
import type { MetadataApi } from "./metadata-api.ts";

/** A resource that the API serves. */
export interface ServedResource {
  /** The resource's name in the encryption configuration, for example "secrets" or "widgets.example.com". */
  readonly name: string;
  /** The base path, for example "/api/v1" or "/apis/example.com/v1". */
  readonly base: string;
  readonly plural: string;
}

/**
 * Returns the resources with these names, in the API's preferred versions. "*.apps" stands for all resources in the
 * apps group, "*." for all core resources, and "*.*" for all resources of the API. Resources that the API does not
 * serve are left out, because their objects cannot be requested.
 * @throws KhwError VERIFY_FAILED for an unexpected response
 */
export async function findResources(
  api: MetadataApi,
  names: readonly string[],
  signal: AbortSignal,
): Promise<ServedResource[]> {
  const found = new Map<string, ServedResource>();
  for (const name of names) {
    for (const base of await basesFor(api, name, signal)) {
      const wanted = pluralOf(name);
      for (const plural of await pluralsAt(api, base, signal)) {
        if (wanted !== "*" && wanted !== plural) continue;
        found.set(`${base}/${plural}`, { name: qualified(plural, base), base, plural });
      }
    }
  }
  return [...found.values()];
}

function pluralOf(name: string): string {
  return name.split(".", 1)[0] ?? name;
}

function groupOf(name: string): string {
  return name.includes(".") ? name.slice(name.indexOf(".") + 1) : "";
}

function qualified(plural: string, base: string): string {
  const [, , group] = base.split("/");
  return base === "/api/v1" || group === undefined ? plural : `${plural}.${group}`;
}

/** Returns the API's base paths that a name may refer to. */
async function basesFor(api: MetadataApi, name: string, signal: AbortSignal): Promise<string[]> {
  const group = groupOf(name);
  if (group === "") return ["/api/v1"];
  const { status, body } = await api.get("/apis", signal);
  if (status !== 200) throw unexpected("/apis", status);
  const groups = listOf(body, "groups").flatMap((entry) => {
    const version = textAt(fieldOf(entry, "preferredVersion"), "groupVersion");
    const matches = group === "*" || textAt(entry, "name") === group;
    return version !== undefined && matches ? [`/apis/${version}`] : [];
  });
  return group === "*" ? ["/api/v1", ...groups] : groups;
}

/** Returns the resources that can be listed and written, without subresources. */
async function pluralsAt(api: MetadataApi, base: string, signal: AbortSignal): Promise<string[]> {
  const { status, body } = await api.get(base, signal);
  // An aggregated API that is down can be skipped, because it stores its objects elsewhere.
  if (status === 503 || status === 404) return [];
  if (status !== 200) throw unexpected(base, status);
  return listOf(body, "resources").flatMap((resource) => {
    const [name, verbs] = [textAt(resource, "name"), new Set(listOf(resource, "verbs"))];
    const stored = name !== undefined && !name.includes("/") && verbs.has("list") && verbs.has("patch");
    return stored ? [name] : [];
  });
}

export function unexpected(path: string, status: number): KhwError {
  return new KhwError("VERIFY_FAILED", `the API server answered ${path} with status ${status}`, {
    hint: "use the kubeconfig of an administrator in the group system:masters",
  });
}
