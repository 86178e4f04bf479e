import { show } from "../../../proto/validate.ts";
import { oneOf, text } from "../parsers.ts";
import { refuseAt, type Value } from "../value.ts";
import { parseYaml } from "../yaml.ts";
import { allOf, anything, type Check, fieldIn, flag, listOf, refuseEmpty, shape, string } from "./shape.ts";

/**
 * The policy that `audit.policy: metadata` selects. The policy never records the contents of a request or a response.
 */
export const metadataPolicy = `# Written by khw (audit.policy: metadata). Records who did what and when, but no contents.
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages:
  - RequestReceived
rules:
  # Health checks of the load balancer and of the agents.
  - level: None
    verbs: ["get"]
    nonResourceURLs: ["/healthz*", "/livez*", "/readyz*"]
  # Leases that components and nodes renew every few seconds.
  - level: None
    users: ["system:apiserver", "system:kube-controller-manager", "system:kube-scheduler"]
    verbs: ["get", "update"]
    resources:
      - group: coordination.k8s.io
        resources: ["leases"]
  - level: None
    userGroups: ["system:nodes"]
    verbs: ["get", "update", "patch"]
    resources:
      - group: coordination.k8s.io
        resources: ["leases"]
  # Events are a log themselves.
  - level: None
    verbs: ["create", "update", "patch"]
    resources:
      - group: ""
        resources: ["events"]
      - group: events.k8s.io
        resources: ["events"]
  - level: Metadata
`;

/**
 * The versions of the policy's API, each with the last minor release that reads it:
 * https://github.com/kubernetes/kubernetes/pull/108092
 */
const versions: Readonly<Record<string, number>> = {
  "audit.k8s.io/v1": Infinity,
  "audit.k8s.io/v1beta1": 23,
  "audit.k8s.io/v1alpha1": 23,
};

/** The first minor release that knows omitManagedFields: https://github.com/kubernetes/enhancements/pull/2982 */
const managedFieldsFrom = 23;

const stages = listOf(oneOf(["RequestReceived", "ResponseStarted", "ResponseComplete", "Panic"]));
const strings = listOf(string);

const resource = shape({ group, resources: strings, resourceNames: strings });

const rule = shape(
  {
    level: oneOf(["None", "Metadata", "Request", "RequestResponse"]),
    users: strings,
    userGroups: strings,
    verbs: strings,
    resources: listOf((value) => allOf([() => resource(value), () => needsResources(value)])),
    namespaces: strings,
    nonResourceURLs: listOf(nonResourceUrl),
    omitStages: stages,
    omitManagedFields: flag,
  },
  ["level"],
);

/**
 * Checks an audit policy against the rules of the release's API server, which does not start with an invalid policy.
 * The rules are in pkg/apis/audit/validation of k8s.io/apiserver. Unlike some releases, khw also refuses unknown
 * fields. An API server that ignores a misspelled field records other events than the author wants.
 * @throws KhwError CONFIG_INVALID with every error's file, line and column
 */
export function checkAuditPolicy(content: string, name: string, minor: number): void {
  const fields: Readonly<Record<string, Check>> = {
    apiVersion: (value) => apiVersion(value, minor),
    kind: oneOf(["Policy"]),
    metadata: anything,
    rules: (value) => allOf([() => listOf(checkedRule)(value), () => refuseEmpty(value)]),
    omitStages: stages,
    omitManagedFields: flag,
  };
  const policy = parseYaml(content, { name, folder: "/" });
  allOf([
    () => shape(fields, ["apiVersion", "kind", "rules"])(policy),
    () => minor < managedFieldsFrom && refuseManagedFields(policy),
  ]);
}

function checkedRule(value: Value): void {
  allOf([() => rule(value), () => oneKind(value)]);
}

/** A rule applies either to resources or to other URLs. */
function oneKind(value: Value): void {
  const has = (name: string): boolean => {
    const found = fieldIn(value, name);
    return found?.kind === "list" && found.items.length > 0;
  };
  if (has("nonResourceURLs") && (has("resources") || has("namespaces")))
    refuseAt(value.origin, "a rule with nonResourceURLs cannot have resources or namespaces", "make two rules");
}

function apiVersion(value: Value, minor: number): void {
  const found = text(value);
  const last = versions[found];
  if (last === undefined)
    refuseAt(value.origin, `${show(found)} is not a version of an audit policy`, "use audit.k8s.io/v1");
  if (last < minor) refuseAt(value.origin, `Kubernetes 1.${minor} does not read ${found}`, "use audit.k8s.io/v1");
}

function group(value: Value): void {
  const name = string(value);
  if (!/^([a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*)?$/.test(name))
    refuseAt(value.origin, `${show(name)} is not the name of an API group`, "for example apps, without a version");
}

function nonResourceUrl(value: Value): void {
  const url = text(value);
  if (url === "*") return;
  if (!url.startsWith("/")) refuseAt(value.origin, `${show(url)} does not begin with a slash`);
  if (url.slice(0, -1).includes("*")) refuseAt(value.origin, `${show(url)} has a * before its end`);
}

function needsResources(value: Value): void {
  const size = (name: string): number => {
    const found = fieldIn(value, name);
    return found?.kind === "list" ? found.items.length : 0;
  };
  if (size("resourceNames") > 0 && size("resources") === 0) refuseAt(value.origin, "resourceNames needs resources");
}

function refuseManagedFields(policy: Value): void {
  const rules = fieldIn(policy, "rules");
  const maps = [policy, ...(rules?.kind === "list" ? rules.items : [])];
  const found = maps
    .flatMap((map) => (map.kind === "map" ? map.entries : []))
    .filter(({ key }) => key === "omitManagedFields");
  allOf(
    found.map(
      ({ origin }) =>
        () =>
          refuseAt(origin, `Kubernetes knows this field from 1.${managedFieldsFrom} on`),
    ),
  );
}
