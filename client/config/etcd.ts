import { parseEtcdVersion } from "../../proto/etcd-versions.ts";
import { parseArchitecture } from "../../proto/etcd.ts";
import { parseSha256 } from "../../proto/validate.ts";
import { mirror } from "./domain.ts";
import { boolean, checked, list, mergeRecords, oneOf, optional, record } from "./parsers.ts";
import type { Group } from "./setting.ts";
import { snapshots } from "./snapshots.ts";

/** The group `etcd` in khw.yaml. */
export const etcd = {
  title: "The cluster's etcd.",
  keys: {
    mode: {
      help: "managed: khw installs and supervises a member on each controller, as in lab 07. external: you run etcd yourself. Default: external if cluster.etcdServers is given, otherwise managed.",
      default: null,
      flag: { name: "--etcd", value: "managed|external" },
      parse: optional(oneOf(["managed", "external"])),
    },
    version: {
      help: "The etcd release (default: the running release; for a new cluster, a release that suits the Kubernetes release).",
      default: null,
      flag: { name: "--etcd-version", value: "version" },
      parse: optional(checked(parseEtcdVersion)),
    },
    mirrors: {
      help: "Sources of the etcd archive, tried in order. Each is a URL (https, http, file) or the absolute path of a folder on the controllers. An http source needs a digest, from sha256 or khw.lock.",
      default: ["https://github.com/etcd-io/etcd/releases/download", "https://storage.googleapis.com/etcd"],
      flag: { name: "--etcd-mirror", value: "url", repeat: "list" },
      parse: list(mirror),
    },
    sha256: {
      help: "SHA-256 digests of the archive by architecture (amd64, arm64), used instead of the published digests and those in khw.lock.",
      default: {},
      flag: { name: "--etcd-sha256", value: "architecture=digest", repeat: "map" },
      parse: record(parseArchitecture, checked(parseSha256)),
      merge: mergeRecords<string>,
    },
    strict: {
      help: "Reject machines whose disk or network is too slow for etcd, instead of printing a warning.",
      default: false,
      flag: { name: "--etcd-strict" },
      parse: boolean,
    },
    dedicatedDisk: {
      help: "Require a dedicated disk, mounted at /var/lib/etcd on each controller. Without the disk, no member is created, started or replaced.",
      default: false,
      flag: { name: "--etcd-dedicated-disk" },
      parse: boolean,
    },
    snapshots,
  },
} as const satisfies Group;
