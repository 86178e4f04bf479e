import type { Component } from "../../proto/components.ts";
import type { DesiredState } from "../../proto/desired.ts";
import { goneFlags } from "../../proto/kubernetes-versions.ts";

/** A command-line flag: the name without dashes, and the value. */
export type Flag = readonly [name: string, value: string];

/**
 * Returns a component's flags: the lab's flags with the changes from khw.yaml. Leaves out flags that the desired
 * release no longer has. The lab's flags keep their order; all other flags follow, sorted by name.
 */
export function effectiveFlags(component: Component, lab: readonly Flag[], desired: DesiredState): Flag[] {
  const { set = {}, remove = [] } = desired.flags[component] ?? {};
  const gone = new Set([...goneFlags(component, desired.kubernetesVersion), ...remove]);
  const flags = new Map(lab.filter(([name]) => !gone.has(name)));
  for (const [name, value] of Object.entries(set).sort(([a], [b]) => (a < b ? -1 : 1))) flags.set(name, value);
  return [...flags];
}
