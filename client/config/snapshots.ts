import { parseBucket } from "../../proto/etcd-snapshots.ts";
import { refuse, show } from "../../proto/validate.ts";
import { checked, duration, optional } from "./parsers.ts";
import type { Group } from "./setting.ts";
import type { Value } from "./value.ts";

/** The group `etcd.snapshots` in khw.yaml. */
export const snapshots = {
  title: "Snapshots that each agent takes of its etcd member, if khw manages etcd. Each snapshot is verified.",
  keys: {
    interval: {
      help: "Time between two snapshots on a controller, or never.",
      default: "1h",
      flag: { name: "--etcd-snapshot-interval", value: "duration|never" },
      parse: (value: Value) => (value.kind === "text" && value.text === "never" ? undefined : duration(value)),
    },
    keep: {
      help: "How many snapshots of each kind (scheduled, requested, copied) a controller keeps.",
      default: 24,
      flag: { name: "--etcd-snapshot-keep", value: "number" },
      parse: checked(parseKeep),
    },
    bucket: {
      help: "Cloud Storage bucket to upload snapshots to. The instance's service account needs the scope devstorage.read_write.",
      default: null,
      flag: { name: "--etcd-snapshot-bucket", value: "name" },
      parse: optional(checked(parseBucket)),
    },
  },
} as const satisfies Group;

function parseKeep(field: string, text: string): number {
  const count = Number(text);
  return Number.isInteger(count) && count >= 1 && count <= 10_000
    ? count
    : refuse(field, `${show(text)} is not a valid number of snapshots`, "use a number from 1 to 10000");
}
