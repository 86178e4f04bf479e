import { KhwError } from "../../proto/errors.ts";
import type { DeprecatedApi } from "../../proto/gen/khw/agent/v1/agent.ts";
import { knownRequests } from "../../proto/kubernetes-versions.ts";
import { kubernetesMinor } from "../../proto/release.ts";

export interface RemovedApiOptions {
  /** The new Kubernetes release. */
  readonly wanted: string;
  /** Whether the administrator accepts that clients lose the APIs that the new release removes. */
  readonly allowed: boolean;
}

/** Obstacles to a release change, and facts that the administrator should know about. */
export interface ReleaseFindings {
  readonly obstacles: readonly KhwError[];
  readonly warnings: readonly KhwError[];
}

/**
 * Evaluates the APIs that clients requested but the new release no longer has. An API that Kubernetes itself requests
 * causes only a warning, because khw cannot tell whether another client also requests it.
 */
export function removedApiFindings(
  requested: readonly DeprecatedApi[],
  { wanted, allowed }: RemovedApiOptions,
): ReleaseFindings {
  const removed = [...Map.groupBy(requested, nameOf)].flatMap(([name, [api]]) =>
    api !== undefined && isRemoved(api, wanted) ? [{ name, api, known: knownCaller(api) }] : [],
  );
  const describe = (name: string, { removedRelease }: DeprecatedApi): string =>
    `${name} was requested, but Kubernetes ${wanted} no longer has it (removed in ${removedRelease})`;
  return {
    obstacles: removed
      .filter(({ known }) => known === undefined && !allowed)
      .map(({ name, api }) => {
        const hint =
          "move the clients to another version (https://kubernetes.io/docs/reference/using-api/deprecation-guide/); " +
          "--allow-removed-apis continues despite this";
        return new KhwError("RELEASE_REFUSED", describe(name, api), { hint });
      }),
    warnings: removed
      .filter(({ known }) => known !== undefined || allowed)
      .map(({ name, api, known }) => {
        const text = describe(name, api);
        if (known === undefined) return new KhwError("RELEASE_REFUSED", text);
        const hint = `the audit log shows other clients, if there are any; see ${known}`;
        return new KhwError("RELEASE_REFUSED", `${text}; Kubernetes itself always requests it`, { hint });
      }),
  };
}

/** Returns text such as "extensions/v1beta1 ingresses"; the core group has no name. */
function nameOf({ group, version, resource, subresource }: DeprecatedApi): string {
  const path = subresource === "" ? resource : `${resource}/${subresource}`;
  return `${group === "" ? version : `${group}/${version}`} ${path}`;
}

function isRemoved({ removedRelease }: DeprecatedApi, wanted: string): boolean {
  const [removed, target] = [kubernetesMinor(removedRelease), kubernetesMinor(wanted)];
  return removed !== undefined && target !== undefined && removed <= target;
}

/** Returns the source that explains why Kubernetes itself requests this API. */
function knownCaller({ group, version, resource }: DeprecatedApi): string | undefined {
  return knownRequests.find(
    (known) => known.group === group && known.version === version && known.resource === resource,
  )?.source;
}
