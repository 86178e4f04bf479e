import { hardening, type HardeningKey, profiles } from "../../proto/profiles.ts";
import { boolean, oneOf } from "./parsers.ts";
import type { Group, Setting } from "./setting.ts";

/** The setting `profile` in khw.yaml. */
export const profile = {
  help: "With lab, every file is the same as in the labs. production has safer defaults, which docs/profiles.md lists.",
  default: "lab",
  flag: { name: "--profile", value: profiles.join("|") },
  parse: oneOf(profiles),
} as const satisfies Setting<(typeof profiles)[number]>;

/** The group `hardening` in khw.yaml, generated from the table of profiles. */
export const hardeningSettings = {
  title: "Differences from the labs that make a control plane safer. A key without a value follows the profile.",
  keys: {
    profilingOff: switchOf("profilingOff"),
    insecurePortsOff: switchOf("insecurePortsOff"),
    loopbackOnly: switchOf("loopbackOnly"),
    strictTls: switchOf("strictTls"),
    defaultApisOnly: switchOf("defaultApisOnly"),
    denyExternalIps: switchOf("denyExternalIps"),
    eventLimits: switchOf("eventLimits"),
    anonymousLimited: switchOf("anonymousLimited"),
    auditRetention: switchOf("auditRetention"),
    coreDumpsOff: switchOf("coreDumpsOff"),
  } satisfies Readonly<Record<HardeningKey, Setting<boolean>>>,
} as const satisfies Group;

function switchOf(key: HardeningKey): Setting<boolean> {
  const name = key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  return {
    help: hardening[key].help,
    default: false,
    production: true,
    flag: { name: `--hardening-${name}`, value: "true|false" },
    parse: boolean,
  };
}
