import { parseEtcdVersion, labEtcdVersion } from "../../proto/etcd-versions.ts";
import { parseArchitecture } from "../../proto/etcd.ts";
import { parseSha256 } from "../../proto/validate.ts";
import { mirror } from "./domain.ts";
import { boolean, checked, list, mergeRecords, oneOf, optional, record } from "./parsers.ts";
import type { Group } from "./setting.ts";
import { snapshots } from "./snapshots.ts";

/** The group `etcd` of khw.yaml. */
export const etcd = {
  title: "The cluster's store.",
  keys: {
    mode: {
      help: "managed: khw installs a member on each controller and looks after it, as lab 07 has it; external: etcd is yours. Left out: external where cluster.etcdServers is given, else managed.",
      default: null,
      flag: { name: "--etcd", value: "managed|external" },
      parse: optional(oneOf(["managed", "external"])),
    },
    version: {
      help: "The etcd release.",
      default: labEtcdVersion,
      flag: { name: "--etcd-version", value: "version" },
      parse: checked(parseEtcdVersion),
    },
    mirrors: {
      help: "Where its archive comes from, tried in order: URLs (https, http, file) or absolute folders on the controllers.",
      default: ["https://github.com/etcd-io/etcd/releases/download", "https://storage.googleapis.com/etcd"],
      flag: { name: "--etcd-mirror", value: "url", repeat: "list" },
      parse: list(mirror),
    },
    sha256: {
      help: "Digests of the archive that stand in for the published ones, by architecture: amd64, arm64.",
      default: {},
      flag: { name: "--etcd-sha256", value: "architecture=digest", repeat: "map" },
      parse: record(parseArchitecture, checked(parseSha256)),
      merge: mergeRecords<string>,
    },
    strict: {
      help: "Refuse machines whose disks or network are too slow for etcd, instead of warning.",
      default: false,
      flag: { name: "--etcd-strict" },
      parse: boolean,
    },
    dedicatedDisk: {
      help: "Its data has a disk of its own, which you have mounted at /var/lib/etcd on each controller: without it no member is begun, started or replaced.",
      default: false,
      flag: { name: "--etcd-dedicated-disk" },
      parse: boolean,
    },
    snapshots,
  },
} as const satisfies Group;
