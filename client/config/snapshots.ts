import { parseBucket } from "../../proto/etcd-snapshots.ts";
import { refuse, show } from "../../proto/validate.ts";
import { checked, duration, optional } from "./parsers.ts";
import type { Group } from "./setting.ts";
import type { Value } from "./value.ts";

/** The group `etcd.snapshots` of khw.yaml. */
export const snapshots = {
  title: "What the agents take of a managed etcd by themselves, each of its own member, proved before it counts.",
  keys: {
    interval: {
      help: "Between two snapshots of one controller; never: none are taken.",
      default: "1h",
      flag: { name: "--etcd-snapshot-interval", value: "duration|never" },
      parse: (value: Value) => (value.kind === "text" && value.text === "never" ? undefined : duration(value)),
    },
    keep: {
      help: "How many of each kind (scheduled, asked for, brought from another machine) stay on a controller.",
      default: 24,
      flag: { name: "--etcd-snapshot-keep", value: "number" },
      parse: checked(parseKeep),
    },
    bucket: {
      help: "A bucket of Cloud Storage that each is uploaded to, with the instance's service account (scope devstorage.read_write).",
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
    : refuse(field, `${show(text)} is no number of snapshots`, "from 1 to 10000");
}
