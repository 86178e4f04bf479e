import type { Component } from "../../proto/components.ts";
import type * as wire from "../../proto/gen/khw/agent/v1/agent.ts";
import { labAdmissionPlugins, parseKubernetesVersion } from "../../proto/kubernetes-versions.ts";
import { type Effect, effectsOn, hardening, hardeningKeys, strictCipherSuites } from "../../proto/profiles.ts";
import type { ConfigFiles } from "./files/own.ts";
import type { ClusterConfig, FlagChanges } from "./schema.ts";

type Choices = Pick<ClusterConfig, "hardening">;

/**
 * Adds the flags of the profile and its switches to those of khw.yaml. A flag from khw.yaml takes precedence. The flags
 * depend on the Kubernetes release. `files` are the API server's options for its
 * configuration files.
 */
export function withProfile(
  { kubernetes, hardening: chosen }: Choices & Pick<ClusterConfig, "kubernetes">,
  version: string,
  files: Pick<ConfigFiles, "flags" | "plugins"> = { flags: {}, plugins: [] },
): ClusterConfig["kubernetes"]["flags"] {
  const { minor } = parseKubernetesVersion("kubernetes.version", version);
  const effects: Effect[] = [
    ...hardeningKeys.flatMap((key) => (chosen[key] ? effectsOn(minor, hardening[key].effects) : [])),
    ...files.plugins.map((plugin) => ({ kind: "plugin" as const, plugin })),
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

/** Returns the differences that flags cannot express; undefined if flags express all of them. */
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
