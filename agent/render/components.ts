import type { Component } from "../../proto/components.ts";
import type { DesiredState } from "../../proto/desired.ts";
import type { Flag } from "./flags.ts";
import { kubeApiserverFlags, renderKubeApiserver } from "./kube-apiserver.ts";
import { kubeControllerManagerFlags, renderKubeControllerManager } from "./kube-controller-manager.ts";
import { kubeSchedulerFlags, renderKubeScheduler } from "./kube-scheduler.ts";
import { commandOf } from "./unit.ts";

/** Renders the unit of each component. */
export const render: Readonly<Record<Component, (desired: DesiredState) => string>> = {
  "kube-apiserver": renderKubeApiserver,
  "kube-controller-manager": renderKubeControllerManager,
  "kube-scheduler": renderKubeScheduler,
};

const flags: Readonly<Record<Component, (desired: DesiredState) => Flag[]>> = {
  "kube-apiserver": kubeApiserverFlags,
  "kube-controller-manager": kubeControllerManagerFlags,
  "kube-scheduler": kubeSchedulerFlags,
};

/** Returns the command line of a component's process. */
export function componentCommand(component: Component, desired: DesiredState): [program: string, ...flags: string[]] {
  return commandOf(component, flags[component](desired));
}
