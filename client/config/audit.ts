import { oneOf, path, text } from "./parsers.ts";
import type { Group } from "./setting.ts";
import type { Value } from "./value.ts";

const known = ["none", "metadata"] as const;

/** The group `audit` in khw.yaml. */
export const audit = {
  title: "The API servers' audit log. Without a policy, the log stays empty.",
  keys: {
    policy: {
      help: "none: no audit policy. metadata: records who did what and when, without contents, health checks, leases and events. Any other value is the path of an audit policy.",
      default: "none",
      production: "metadata",
      flag: { name: "--audit-policy", value: "none|metadata|file" },
      parse: (value: Value): string => (isKnown(text(value)) ? oneOf(known)(value) : path(value)),
    },
  },
} as const satisfies Group;

function isKnown(found: string): boolean {
  return known.some((name) => name === found);
}
