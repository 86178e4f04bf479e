import type { Cause } from "../evidence.ts";

const components = ["etcd"];

/** The reasons why etcd itself fails, on nodes that run etcd. The operator applies the remedies; the agent does not. */
export const etcdServer: readonly Cause[] = [
  {
    id: "etcd-data-corrupt",
    components,
    pattern:
      /cannot open database at (?<file>\S+)|wal: (?:max entry size limit exceeded|crc mismatch|.*corrupt)|snap(?:shot)?: .*(?:crc|corrupt)|walpb: crc mismatch|unexpected fault address|failed to (?:recover|read WAL|load snapshot)|invalid database/i,
    message: "its data in {data} is damaged",
    remedy:
      "remove the member and add it again with an empty {data} (`etcdctl member remove` and `member add`, then --initial-cluster-state=existing); for a single member, restore a snapshot",
  },
  {
    id: "etcd-data-locked",
    components,
    pattern: /another etcd process is using "(?<file>[^"]+)"/,
    message: "another etcd process is using {data}",
    remedy:
      "stop the other etcd process on the node (`pgrep -a etcd` lists all etcd processes); two members cannot share a data folder",
  },
  {
    id: "etcd-data-unusable",
    components,
    pattern:
      /cannot access data directory|error listing data dir|(?:mkdir|open|cannot write to|lock) \S*(?:member|\.touch|data|etcd)\S*: (?:permission denied|read-only file system|not a directory|file exists)|directory "[^"]+" exist,? but|different file permission/,
    message: "it is not allowed to write to its data folder {data}, or the folder's mode is not 0700",
    remedy: "make the user of {unit} the owner of {data} (--data-dir), and set the mode of {data} to 0700",
  },
  {
    id: "etcd-membership",
    components,
    pattern:
      /error validating peerURLs|member count is unequal|member \S+ has already been bootstrapped|cluster ID mismatch|unmatched member while checking PeerURLs|the member has been permanently removed/,
    message:
      "the running cluster has no member with these peer URLs: this etcd belongs to another cluster, or to no cluster",
    remedy:
      "first add this member to the cluster (`etcdctl member add`), then set --initial-cluster to exactly the members that `etcdctl member list` shows, and start this member with an empty {data}",
  },
  {
    id: "etcd-initial-cluster",
    components,
    pattern:
      /couldn't find local name "(?<name>[^"]*)" in the initial cluster|--initial-cluster has .* but missing from|initial-advertise-peer-urls|has different advertised URLs|--initial-cluster must include/,
    message: "its --name, --initial-cluster and --initial-advertise-peer-urls do not match each other",
    remedy:
      "list this member in --initial-cluster under its --name, with the URL from its --initial-advertise-peer-urls",
  },
  {
    id: "etcd-listen-url",
    components,
    pattern:
      /expected IP in URL for binding|URL scheme must be http|URL address does not have the form|--advertise-client-urls is required/,
    message: "it cannot listen on, or advertise, one of its URLs",
    remedy:
      "fix --listen-client-urls, --listen-peer-urls and --advertise-client-urls in {unit}: each URL must have the form https://HOST:PORT, and in the listen URLs, HOST must be an IP address",
  },
];
