import { show } from "../../../proto/validate.ts";
import { oneOf, text } from "../parsers.ts";
import { refuseAt, type Value } from "../value.ts";
import { parseYaml } from "../yaml.ts";
import { allOf, type Check, fieldIn, listOf, refuseEmpty, shape, string, wholeNumber } from "./shape.ts";

/**
 * The versions of PodSecurity's configuration, each with the first minor release that reads it:
 * https://kubernetes.io/docs/tasks/configure-pod-container/enforce-standards-admission-controller/
 */
const podSecurityFrom: Readonly<Record<string, number>> = {
  "pod-security.admission.config.k8s.io/v1": 25,
  "pod-security.admission.config.k8s.io/v1beta1": 23,
  "pod-security.admission.config.k8s.io/v1alpha1": 22,
};

/** Checks the configuration of an admission plugin. The configurations of unknown plugins are not checked. */
export function checkPlugin(name: string, configuration: Value, minor: number): void {
  if (name === "PodSecurity") podSecurity(configuration, minor);
  if (name === "EventRateLimit") eventRateLimit(configuration);
}

/** Checks a plugin's configuration that is in a separate file. */
export function checkPluginFile(
  plugin: string,
  file: { readonly name: string; readonly content: string },
  minor: number,
): void {
  checkPlugin(plugin, parseYaml(file.content, { name: file.name, folder: "/" }), minor);
}

function podSecurity(configuration: Value, minor: number): void {
  const level = oneOf(["privileged", "baseline", "restricted"]);
  const strings = listOf(string);
  shape(
    {
      apiVersion: (value) => podSecurityVersion(value, minor),
      kind: oneOf(["PodSecurityConfiguration"]),
      defaults: shape({
        enforce: level,
        "enforce-version": standardVersion,
        audit: level,
        "audit-version": standardVersion,
        warn: level,
        "warn-version": standardVersion,
      }),
      exemptions: shape({ usernames: strings, runtimeClasses: strings, namespaces: strings }),
    },
    ["apiVersion", "kind"],
  )(configuration);
}

function podSecurityVersion(value: Value, minor: number): void {
  const found = text(value);
  const from = podSecurityFrom[found];
  const fitting = Object.entries(podSecurityFrom).find(([, first]) => first <= minor)?.[0];
  if (from === undefined)
    refuseAt(
      value.origin,
      `${show(found)} is not a version of PodSecurity's configuration`,
      fitting && `use ${fitting}`,
    );
  if (from > minor)
    refuseAt(
      value.origin,
      `Kubernetes 1.${minor} does not read ${found}, which exists from 1.${from} on`,
      fitting === undefined ? "remove the plugin, which this release does not have" : `use ${fitting}`,
    );
}

function standardVersion(value: Value): void {
  const found = text(value);
  if (!/^(latest|v1\.\d{1,3})$/.test(found))
    refuseAt(value.origin, `${show(found)} is not a version of the Pod Security Standards`, "use latest or v1.25");
}

/** The plugin's own rules are in plugin/pkg/admission/eventratelimit/apis/eventratelimit/validation. */
function eventRateLimit(configuration: Value): void {
  const limit: Check = (value) =>
    shape(
      {
        type: oneOf(["Server", "Namespace", "User", "SourceAndObject"]),
        qps: wholeNumber(1),
        burst: wholeNumber(1),
        cacheSize: wholeNumber(0),
      },
      ["type", "qps", "burst"],
    )(value);
  allOf([
    () =>
      shape(
        {
          apiVersion: oneOf(["eventratelimit.admission.k8s.io/v1alpha1"]),
          kind: oneOf(["Configuration"]),
          limits: listOf(limit),
        },
        ["apiVersion", "kind", "limits"],
      )(configuration),
    () => refuseEmpty(fieldIn(configuration, "limits")),
  ]);
}
