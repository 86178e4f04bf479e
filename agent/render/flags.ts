import type { Component } from "../../proto/components.ts";
import type { DesiredState } from "../../proto/desired.ts";
import { goneFlags } from "../../proto/kubernetes-versions.ts";

/** A program's flag: its name without dashes, and its value. */
export type Flag = readonly [name: string, value: string];

/**
 * The flags that a component is started with: the lab's, without those that the wanted release gave up, and then as khw.yaml
 * has it. A flag of the lab keeps its place whatever its value; those that are not the lab's follow by name.
 */
export function effectiveFlags(component: Component, lab: readonly Flag[], desired: DesiredState): Flag[] {
  const { set = {}, remove = [] } = desired.flags[component] ?? {};
  const gone = new Set([...goneFlags(component, desired.kubernetesVersion), ...remove]);
  const flags = new Map(lab.filter(([name]) => !gone.has(name)));
  for (const [name, value] of Object.entries(set).sort(([a], [b]) => (a < b ? -1 : 1))) flags.set(name, value);
  return [...flags];
}
