import { isMap, isScalar, isSeq, parseDocument } from "yaml";
import { configFile, parseConfigFileName } from "../../../proto/config-files.ts";
import { show } from "../../../proto/validate.ts";
import { checked, oneOf, text } from "../parsers.ts";
import { refuseAt, type Value } from "../value.ts";
import { parseYaml } from "../yaml.ts";
import { authorizationVersions, checkConfigVersion } from "./config-version.ts";
import { allOf, type Check, fieldIn, filled, listOf, refuseEmpty, shape, string } from "./shape.ts";

/** The API server's types of authorizers. Each type except Webhook may occur only once. */
const types = ["Node", "RBAC", "Webhook", "ABAC", "AlwaysAllow", "AlwaysDeny"] as const;
const required = ["Node", "RBAC"] as const;
const mostConditions = 64;
/** The condition that excludes health checks from a webhook, because health checks are not requests for resources. */
const resourcesOnly = "has(request.resourceAttributes)";

export interface Authorization {
  /** The file as the API server reads it, with the kubeconfigs' paths on the controllers. */
  readonly content: string;
  /** The names of the webhooks' kubeconfigs, which are in the same folder. */
  readonly kubeconfigs: readonly string[];
  readonly types: readonly string[];
}

/**
 * Checks an AuthorizationConfiguration against the API server's rules (pkg/apis/apiserver/validation in
 * k8s.io/apiserver). For expressions, checks only that they are present. khw also requires the authorizers that its
 * cluster needs.
 * @throws KhwError CONFIG_INVALID with every error's file, line and column
 */
export function checkAuthorization(content: string, name: string, minor: number): Authorization {
  const configuration = parseYaml(content, { name, folder: "/", plain: true });
  const kubeconfigs: string[] = [];
  const chain: { type: string; name: string }[] = [];
  const authorizer: Check = (value) => {
    const before = chain.map(({ type }) => type);
    const webhookOf: Check = (found) => webhook(found, kubeconfigs);
    shape({ type: oneOf(types), name: authorizerName, webhook: webhookOf }, ["type", "name"])(value);
    const type = fieldText(value, "type");
    const own = fieldText(value, "name");
    if (chain.some((other) => other.name === own)) refuseAt(value.origin, `the name ${show(own)} is used twice`);
    if (type !== "Webhook" && before.includes(type)) refuseAt(value.origin, `the type ${type} is used twice`);
    if (type === "AlwaysAllow")
      refuseAt(value.origin, "AlwaysAllow permits every request, including anonymous requests");
    refuseWebhook(value, type, before);
    chain.push({ type, name: own });
  };
  const complete: Check = (value) => {
    const missing = required.filter((type) => !chain.some((other) => other.type === type));
    if (missing.length > 0)
      refuseAt(
        value.origin,
        `there is no authorizer ${missing.join(" and no ")}, which kubelets, the controller manager, the scheduler and the health checks need`,
        `add {type: ${missing[0]}, name: ${missing[0]?.toLowerCase()}}`,
      );
  };
  const fields = {
    apiVersion: checkConfigVersion(authorizationVersions, minor),
    kind: oneOf(["AuthorizationConfiguration"]),
    authorizers: (value: Value) =>
      allOf([
        () => {
          listOf(authorizer)(value);
          complete(value);
        },
        () => refuseEmpty(value),
      ]),
  };
  shape(fields, ["apiVersion", "kind", "authorizers"])(configuration);
  return { content: withPaths(content), kubeconfigs: [...new Set(kubeconfigs)], types: chain.map(({ type }) => type) };
}

/** Replaces the kubeconfigs' names with their paths on the controllers, because the API server needs absolute paths. */
function withPaths(content: string): string {
  const document = parseDocument(content, { schema: "failsafe" });
  const authorizers = document.get("authorizers", true);
  for (const item of isSeq(authorizers) ? authorizers.items : []) {
    const file = isMap(item) ? item.getIn(["webhook", "connectionInfo", "kubeConfigFile"], true) : undefined;
    if (isScalar(file)) file.value = configFile(String(file.value));
  }
  return document.toString({ lineWidth: 0 });
}

function refuseWebhook(value: Value, type: string, before: readonly string[]): void {
  const found = fieldIn(value, "webhook");
  if (type !== "Webhook" && found !== undefined) refuseAt(found.origin, "webhook needs type: Webhook");
  if (type === "Webhook" && found === undefined) refuseAt(value.origin, "webhook is missing");
  const isFirst = required.some((needed) => !before.includes(needed));
  if (found !== undefined && isFirst && !skipsHealthChecks(found))
    refuseAt(
      found.origin,
      "this webhook is asked before Node and RBAC; while it does not answer, health checks fail, and the agents restart every API server",
      `move the webhook after Node and RBAC, or add {expression: ${resourcesOnly}} to its matchConditions`,
    );
}

/** Whether one condition is exactly `resourcesOnly`. khw does not evaluate other expressions. */
function skipsHealthChecks(webhook: Value): boolean {
  const conditions = fieldIn(webhook, "matchConditions");
  const items = conditions?.kind === "list" ? conditions.items : [];
  return items.some((item) => fieldText(item, "expression").trim() === resourcesOnly);
}

function webhook(value: Value, kubeconfigs: string[]): void {
  const connection: Check = (found) => {
    const file = checked(parseConfigFileName);
    shape({ type: oneOf(["KubeConfigFile"]), kubeConfigFile: file }, ["type", "kubeConfigFile"])(found);
    kubeconfigs.push(fieldText(found, "kubeConfigFile"));
  };
  shape(
    {
      authorizedTTL: duration(Infinity),
      unauthorizedTTL: duration(Infinity),
      timeout: duration(30),
      subjectAccessReviewVersion: oneOf(["v1", "v1beta1"]),
      matchConditionSubjectAccessReviewVersion: oneOf(["v1"]),
      failurePolicy: oneOf(["NoOpinion", "Deny"]),
      connectionInfo: connection,
      matchConditions: (found) =>
        allOf([() => listOf(shape({ expression: filled }, ["expression"]))(found), () => most(found)]),
    },
    ["timeout", "subjectAccessReviewVersion", "failurePolicy", "connectionInfo"],
  )(value);
  const conditions = fieldIn(value, "matchConditions");
  if (conditions !== undefined && fieldIn(value, "matchConditionSubjectAccessReviewVersion") === undefined)
    refuseAt(
      conditions.origin,
      "matchConditions needs matchConditionSubjectAccessReviewVersion",
      "matchConditionSubjectAccessReviewVersion: v1",
    );
}

/** Checks that a Go duration, such as 1m30s, is above 0 and at most `seconds`. */
function duration(seconds: number): Check {
  const units: Readonly<Record<string, number>> = { ns: 1e-9, us: 1e-6, µs: 1e-6, ms: 1e-3, s: 1, m: 60, h: 3600 };
  return (value) => {
    const found = text(value);
    if (!/^(\d+(\.\d+)?(ns|us|µs|ms|s|m|h))+$/.test(found))
      refuseAt(value.origin, `${show(found)} is not a duration`, "use a duration such as 3s or 5m");
    const parts = [...found.matchAll(/([\d.]+)([a-zµ]+)/g)];
    const total = parts.reduce((sum, [, count, unit = ""]) => sum + Number(count) * (units[unit] ?? 0), 0);
    if (total <= 0 || total > seconds)
      refuseAt(value.origin, `${show(found)} is not above 0s${seconds === Infinity ? "" : ` and at most ${seconds}s`}`);
  };
}

function authorizerName(value: Value): void {
  const found = string(value);
  if (!/^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/.test(found) || found.length > 253)
    refuseAt(value.origin, `${show(found)} is not a name of lower-case letters, digits, hyphens and dots`);
}

function most(value: Value): void {
  if (value.kind === "list" && value.items.length > mostConditions)
    refuseAt(
      value.origin,
      `there are ${value.items.length} conditions; the API server accepts at most ${mostConditions}`,
    );
}

function fieldText(value: Value, name: string): string {
  const found = fieldIn(value, name);
  return found?.kind === "text" ? found.text : "";
}
