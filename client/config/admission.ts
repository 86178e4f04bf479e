import { optional, path } from "./parsers.ts";
import type { Group } from "./setting.ts";

/** The group `admission` in khw.yaml. */
export const admission = {
  title: "The configuration of the API servers' admission plugins.",
  keys: {
    config: {
      help: "File of an AdmissionConfiguration. The files that it names must be in the same folder. khw switches on the plugins that the file configures.",
      default: null,
      flag: { name: "--admission-config", value: "file" },
      parse: optional(path),
    },
  },
} as const satisfies Group;
