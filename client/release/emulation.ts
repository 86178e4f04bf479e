import minor from "semver/functions/minor.js";
import { type Component, components } from "../../proto/components.ts";
import { KhwError } from "../../proto/errors.ts";
import { labRuntimeConfig } from "../../proto/kubernetes-versions.ts";
import type { Releases } from "../config/releases.ts";
import { withProfile } from "../config/profile.ts";
import type { ClusterConfig } from "../config/schema.ts";
import type { NodeRelease } from "./path.ts";

/**
 * The requested emulation of the previous minor release (KEP-4330):
 * - "begin": the new programs emulate the previous minor release;
 * - "end": no program emulates any release;
 * - "keep": programs that already run the wanted minor release keep their current emulation.
 */
export type Emulation = "begin" | "end" | "keep";

/**
 * The first minor release in which kube-apiserver, kube-controller-manager and kube-scheduler have --emulated-version:
 * https://kubernetes.io/docs/concepts/cluster-administration/compatibility-version/
 */
const firstMinor = 32;

/** The flag's value is a minor release without a patch number: "1.31" stands for "kube=1.31". */
export const emulationFlag = "emulated-version";

/** Returns the minor release, for example "1.31" for "v1.31.4". */
export function minorName(release: string): string {
  return `1.${minor(release)}`;
}

/** Returns the previous minor release, for example "1.31" for "v1.32.0". */
export function minorBefore(release: string): string {
  return `1.${minor(release) - 1}`;
}

/** Whether a release can emulate the previous minor release. */
export function canEmulate(release: string): boolean {
  return minor(release) >= firstMinor;
}

/**
 * Returns the release that the programs must emulate, for example "1.31". A program that runs without emulation may
 * have stored objects in a new form, so "keep" never begins the emulation again.
 */
export function wantedEmulation(
  running: readonly NodeRelease[],
  wanted: string,
  emulation: Emulation,
): string | undefined {
  switch (emulation) {
    case "begin":
      return minorBefore(wanted);
    case "end":
      return undefined;
    case "keep": {
      const [first, ...others] = running.filter(({ version }) => minor(version) === minor(wanted));
      return others.every(({ emulates }) => emulates === first?.emulates) ? first?.emulates : undefined;
    }
  }
}

export interface EmulationOptions {
  readonly running: readonly NodeRelease[];
  readonly wanted: Releases;
  readonly emulation: Emulation;
}

/**
 * Returns the reasons why the requested emulation is not possible, and an error if the current emulation must end
 * before the update.
 */
export function emulationObstacles(
  config: Pick<ClusterConfig, "kubernetes" | "hardening">,
  { running, wanted, emulation }: EmulationOptions,
): KhwError[] {
  return [
    ...(emulation === "begin" ? beginObstacles(running, wanted.kubernetes) : []),
    ...skippedEnd(running, wanted.kubernetes),
    ...(wanted.emulated === undefined ? [] : settingObstacles(withProfile(config, wanted.kubernetes), wanted.emulated)),
  ];
}

function beginObstacles(running: readonly NodeRelease[], wanted: string): KhwError[] {
  if (!canEmulate(wanted)) {
    return [
      refusal(`Kubernetes ${wanted} cannot emulate another release`, {
        hint: `leave out --emulate: releases before v1.${firstMinor} do not have --${emulationFlag}`,
      }),
    ];
  }
  const late = running.filter(({ version, emulates }) => minor(version) === minor(wanted) && emulates === undefined);
  if (late.length === 0) return [];
  const nodes = [...new Set(late.map(({ node }) => node))].join(", ");
  return [
    refusal(`${nodes} already runs Kubernetes ${minorName(wanted)} without emulation`, {
      hint: "leave out --emulate: an emulation cannot undo what the new release has already stored",
    }),
  ];
}

/**
 * A program that emulates the previous minor release must end the emulation before the update to the next minor
 * release.
 */
function skippedEnd(running: readonly NodeRelease[], wanted: string): KhwError[] {
  const found = running.find(({ version, emulates }) => emulates !== undefined && minor(version) < minor(wanted));
  if (found === undefined) return [];
  const { version, emulates = "" } = found;
  return [
    refusal(`Kubernetes ${version} emulates ${emulates}, so it cannot be updated to ${wanted}`, {
      hint: `end the emulation first: khw-client upgrade --to ${version}`,
    }),
  ];
}

type Flags = ClusterConfig["kubernetes"]["flags"];

/**
 * Returns an error for each setting that conflicts with the emulation, which excludes alpha APIs and alpha features:
 * https://www.kubernetes.dev/resources/keps/4330/
 */
function settingObstacles(flags: Flags, emulated: string): KhwError[] {
  const own = components.filter((component) => flags[component]?.[emulationFlag] !== undefined);
  const gates = components.filter((component) =>
    /(^|,)(kube:)?AllAlpha=true(,|$)/i.test(flags[component]?.["feature-gates"] ?? ""),
  );
  const setting = (component: Component, flag: string): string => `kubernetes.flags.${component}.${flag}`;
  const configured = flags["kube-apiserver"]?.["runtime-config"];
  const runtimeConfig = configured === undefined ? labRuntimeConfig : (configured ?? "");
  const origin = configured === undefined ? "the lab's default" : "in khw.yaml";
  return [
    ...own.map((component) =>
      refusal(`${setting(component, emulationFlag)} is set, but khw sets this flag itself`, {
        hint: "remove the setting from khw.yaml",
      }),
    ),
    ...(enablesAlphaApis(runtimeConfig)
      ? [
          refusal(
            `emulating ${emulated} excludes alpha APIs, but ${setting("kube-apiserver", "runtime-config")} is ` +
              `${runtimeConfig} (${origin})`,
            {
              hint:
                `set ${setting("kube-apiserver", "runtime-config")} to null in khw.yaml (no alpha APIs), or upgrade ` +
                "without --emulate",
            },
          ),
        ]
      : []),
    ...gates.map((component) =>
      refusal(`emulating ${emulated} excludes alpha features, but ${setting(component, "feature-gates")} enables all`, {
        hint: `remove AllAlpha=true from ${setting(component, "feature-gates")}, or upgrade without --emulate`,
      }),
    ),
  ];
}

/**
 * Whether --runtime-config enables alpha APIs. A later value for a key replaces an earlier value. "api/alpha" takes
 * precedence over "api/all".
 */
export function enablesAlphaApis(runtimeConfig: string): boolean {
  const values = new Map(
    runtimeConfig
      .split(",")
      .filter((entry) => entry.trim() !== "")
      .map((entry): readonly [string, boolean] => {
        const [key = "", value = ""] = entry.split("=").map((part) => part.trim());
        return [key, !/^(false|f|0)$/i.test(value)];
      }),
  );
  const general = values.get("api/alpha") ?? values.get("api/all") ?? false;
  return general || [...values].some(([key, enabled]) => enabled && /\/v\d+alpha\d+(\/|$)/.test(key));
}

function refusal(message: string, { hint }: { readonly hint: string }): KhwError {
  return new KhwError("RELEASE_REFUSED", message, { hint });
}
