import type { Component } from "../../proto/components.ts";
import type * as wire from "../../proto/gen/khw/agent/v1/agent.ts";
import { labAdmissionPlugins, parseKubernetesVersion } from "../../proto/kubernetes-versions.ts";
import { type Effect, effectsOn, hardening, hardeningKeys, strictCipherSuites } from "../../proto/profiles.ts";
import { KhwError } from "../../proto/errors.ts";
import type { ConfigFiles } from "./files/own.ts";
import type { WantedPlugin } from "./files/own-files.ts";
import type { ClusterConfig, FlagChanges } from "./schema.ts";

type Choices = Pick<ClusterConfig, "hardening">;

/**
 * Adds the flags of the profile and of the hardening settings to the flags in khw.yaml. A flag from khw.yaml takes
 * precedence. The flags depend on the Kubernetes release. `files` are the API server's options for its configuration
 * files.
 */
export function withProfile(
  { kubernetes, hardening: chosen }: Choices & Pick<ClusterConfig, "kubernetes">,
  version: string,
  files: Pick<ConfigFiles, "flags" | "plugins"> = { flags: {}, plugins: [] },
): ClusterConfig["kubernetes"]["flags"] {
  const { minor } = parseKubernetesVersion("kubernetes.version", version);
  const wanted = hardeningKeys.flatMap((key) =>
    (chosen[key] ? effectsOn(minor, hardening[key].effects) : []).map((effect) => ({
      effect,
      setting: `hardening.${key}`,
    })),
  );
  const plugins = wanted.flatMap(({ effect, setting }) =>
    effect.kind === "plugin" ? [{ plugin: effect.plugin, setting }] : [],
  );
  refuseDroppedPlugins(kubernetes.flags["kube-apiserver"], [...plugins, ...files.plugins]);
  const effects: Effect[] = [
    ...wanted.map(({ effect }) => effect),
    ...files.plugins.map(({ plugin }) => ({ kind: "plugin" as const, plugin })),
  ];
  const of = (component: Component): FlagChanges => ({
    ...flagsOf(component, effects),
    ...(component === "kube-apiserver" && files.flags),
    ...kubernetes.flags[component],
  });
  return {
    "kube-apiserver": of("kube-apiserver"),
    "kube-controller-manager": of("kube-controller-manager"),
    "kube-scheduler": of("kube-scheduler"),
  };
}

function flagsOf(component: Component, effects: readonly Effect[]): FlagChanges {
  const flags = effects.flatMap((effect) =>
    effect.kind === "flag" && effect.components.includes(component) ? [[effect.flag, effect.value] as const] : [],
  );
  const plugins = effects.flatMap((effect) => (effect.kind === "plugin" ? [effect.plugin] : []));
  const admission = component === "kube-apiserver" && plugins.length > 0;
  return {
    ...Object.fromEntries(flags),
    ...(admission && { "enable-admission-plugins": [labAdmissionPlugins, ...plugins].join(",") }),
  };
}

/**
 * Refuses flags that would silently switch off a plugin that another setting switches on. A list that the user sets
 * replaces the whole list of plugins, so the user's list must contain the plugin.
 * @throws KhwError CONFIG_INVALID that lists every plugin and its setting
 */
function refuseDroppedPlugins(own: FlagChanges, wanted: readonly WantedPlugin[]): void {
  const { "enable-admission-plugins": list, "disable-admission-plugins": disabled } = own;
  const has = (names: string, plugin: string): boolean => names.split(",").includes(plugin);
  const lost = wanted.flatMap(({ plugin, setting }) => {
    if (typeof disabled === "string" && has(disabled, plugin)) return [{ plugin, setting, flag: "disable" }];
    return list === undefined || (list !== null && has(list, plugin)) ? [] : [{ plugin, setting, flag: "enable" }];
  });
  const [first] = lost;
  if (first === undefined) return;
  const lines = lost.map(
    ({ plugin, setting, flag }) =>
      `kubernetes.flags.kube-apiserver.${flag}-admission-plugins switches off ${plugin}, which ${setting} switches on`,
  );
  const names = lost.map(({ plugin }) => plugin).join(",");
  const remedy = first.flag === "enable" ? `add ${names} to your list` : `remove ${names} from your list`;
  throw new KhwError("CONFIG_INVALID", lines.join("\n"), {
    hint: `${remedy}, or change ${[...new Set(lost.map(({ setting }) => setting))].join(" and ")} in khw.yaml`,
  });
}

/** Returns the differences from the labs that flags cannot express; undefined without any difference. */
export function toHardening({ hardening: chosen }: Choices): wire.Hardening | undefined {
  const found = {
    coreDumpsOff: chosen.coreDumpsOff,
    schedulerProfilingOff: chosen.profilingOff,
    schedulerInsecurePortLocal: chosen.insecurePortsOff,
    etcdCipherSuites: chosen.strictTls ? strictCipherSuites.split(",") : [],
  };
  const isLab =
    !chosen.strictTls && !found.coreDumpsOff && !found.schedulerProfilingOff && !found.schedulerInsecurePortLocal;
  return isLab ? undefined : found;
}
