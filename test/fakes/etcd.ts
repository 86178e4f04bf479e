import type { EtcdServers } from "../../agent/os/etcd-servers.ts";
import { KhwError } from "../../proto/errors.ts";

export interface FakeMember {
  id: string;
  name: string;
  peerUrl: string;
  learner: boolean;
  /** Whether the member has started at least once and has published its client URL. */
  started: boolean;
}

/** Simulates an etcd cluster as seen through its API. */
export interface FakeEtcd extends EtcdServers {
  readonly clusterId: string;
  readonly members: FakeMember[];
  /** The addresses of the servers that answer requests. */
  readonly up: Set<string>;
  /** Whether the cluster has a leader. Without a leader, the membership cannot change. */
  leader: boolean;
  /** The leader's ID; by default the first member's ID. */
  leaderId?: string;
  /** The number of promotions that will fail because the learner is not in sync yet. */
  behind: number;
  /** The values of the keys. The value of a lock's key names the holder. */
  readonly keys: Map<string, string>;
  /** The requested changes, for example "remove 11". */
  readonly changes: string[];
}

const addressOf = (url: string): string => new URL(url).hostname;

/** Creates a cluster of the lab's controllers. The member ids are 10, 11 and 12. */
export function createFakeEtcd(addresses = ["10.240.0.10", "10.240.0.11", "10.240.0.12"]): FakeEtcd {
  const members = addresses.map((address, index) => ({
    id: `1${index}`,
    name: `controller-${index}`,
    peerUrl: `https://${address}:2380`,
    learner: false,
    started: true,
  }));
  const fake: FakeEtcd = {
    clusterId: "4711",
    members,
    up: new Set(addresses),
    leader: true,
    behind: 0,
    keys: new Map(),
    changes: [],
    post: async (server, { path, body, signal }) => {
      signal.throwIfAborted();
      if (!fake.up.has(addressOf(server))) throw new KhwError("NOT_READY", `${server}: connect ECONNREFUSED`);
      return answer(fake, server, path, { ...(typeof body === "object" ? body : {}) });
    },
  };
  return fake;
}

function answer(fake: FakeEtcd, server: string, path: string, body: Readonly<Record<string, unknown>>) {
  const own = fake.members.find(({ peerUrl }) => addressOf(peerUrl) === addressOf(server));
  const wire = ({ id, name, peerUrl, learner, started }: FakeMember) => ({
    ID: id,
    peerURLs: [peerUrl],
    ...(name !== "" && { name }),
    ...(name !== "" && started && { clientURLs: [peerUrl.replace("2380", "2379")] }),
    ...(learner && { isLearner: true }),
  });
  const id = String(body["ID"]);
  const named = fake.members.find((member) => member.id === id);
  switch (path) {
    case "/v3/maintenance/status":
      return {
        header: { cluster_id: fake.clusterId, member_id: own?.id },
        ...(fake.leader && { leader: fake.leaderId ?? fake.members[0]?.id }),
        ...(own?.learner === true && { isLearner: true }),
      };
    case "/v3/maintenance/transfer-leadership": {
      const target = fake.members.find((member) => member.id === String(body["targetID"]));
      if (target === undefined || own?.id !== (fake.leaderId ?? fake.members[0]?.id))
        throw new KhwError("NOT_READY", "etcdserver: not leader");
      fake.leaderId = target.id;
      fake.changes.push(`leader ${target.id}`);
      return {};
    }
    case "/v3/cluster/member/list":
      return { members: fake.members.map(wire) };
    case "/v3/cluster/member/remove":
      if (named === undefined) throw new KhwError("NOT_READY", "member not found");
      fake.changes.push(`remove ${id}`);
      fake.members.splice(fake.members.indexOf(named), 1);
      return {};
    case "/v3/cluster/member/add": {
      const urls: unknown = body["peerURLs"];
      const peerUrl = Array.isArray(urls) ? String(urls[0]) : "";
      if (fake.members.some((member) => member.peerUrl === peerUrl)) {
        throw new KhwError("NOT_READY", "Peer URLs already exists");
      }
      const added = {
        id: `2${fake.changes.length}`,
        name: "",
        peerUrl,
        learner: body["isLearner"] === true,
        started: true,
      };
      fake.changes.push(`add ${added.id}`);
      fake.members.push(added);
      return { member: wire(added) };
    }
    case "/v3/cluster/member/promote":
      if (fake.behind-- > 0) {
        throw new KhwError("NOT_READY", "can only promote a learner member which is in sync with leader");
      }
      fake.changes.push(`promote ${id}`);
      if (named !== undefined) named.learner = false;
      return {};
    case "/v3/lease/grant":
      return { ID: "7" };
    case "/v3/lease/revoke":
      fake.keys.clear();
      return {};
    case "/v3/lease/keepalive":
      return {};
    case "/v3/kv/txn":
      return take(fake, JSON.parse(JSON.stringify(body)));
    default:
      throw new Error(`the fake etcd has no ${path}`);
  }
}

interface Txn {
  readonly compare: readonly { readonly target: string; readonly key: string; readonly value?: string }[];
  readonly success: readonly { readonly requestPut: { readonly key: string; readonly value: string } }[];
}

function take({ keys }: FakeEtcd, { compare: [condition], success: [put] }: Txn) {
  const held = keys.get(condition?.key ?? "");
  const holds = condition?.target === "CREATE" ? held === undefined : held === condition?.value;
  if (holds && put !== undefined) {
    keys.set(put.requestPut.key, put.requestPut.value);
    return { succeeded: true };
  }
  return { responses: [{ responseRange: { kvs: [{ value: held }] } }] };
}
