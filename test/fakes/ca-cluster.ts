import { X509Certificate } from "node:crypto";
import { certificatesOf } from "../../client/cluster-ca/certificates.ts";
import { describeCertificates, describeRest, describeTrust } from "../../client/cluster-ca/describe.ts";
import type { CaRotation, Progress } from "../../client/cluster-ca/folder.ts";
import type { Outside } from "../../client/cluster-ca/outside.ts";
import type { CaParts } from "../../client/cluster-ca/rotate.ts";
import { type Authorities, droppedFiles, signingFiles, stageOf, trustedFiles } from "../../client/cluster-ca/stage.ts";
import { Killed } from "./encrypted-cluster.ts";

/** The CA-related files of a node. */
export interface CaFiles {
  readonly ca: string;
  /** The CA that signed the node's certificates. */
  readonly issuer: string;
}

/** A process on a node. etcd reads its CA only at startup, but reads its certificate at each handshake. */
interface CaNode {
  files: CaFiles;
  /** The CAs that the processes read when they started. */
  started: string;
}

/** Simulates controllers that continually call each other with certificates. */
export interface CaCluster {
  /** The files on the workstation. */
  files: CaFiles;
  rotation: (Authorities & { progress: Progress }) | undefined;
  readonly nodes: CaNode[];
  /** The CAs that an unmanaged client trusts, and the CA that issued the client's certificate. */
  client: CaFiles;
  outside: Outside;
  /** All actions, in order. */
  readonly log: string[];
  readonly notes: string[];
  /** If `killBefore` is given, the command is killed before the action with that index. */
  parts(killBefore?: number): CaParts;
}

/** @throws as soon as a server would refuse a call from another server or from a client */
export function caCluster({ old, next }: Authorities, nodeCount = 3): CaCluster {
  const files: CaFiles = { ca: old.certificate, issuer: old.certificate };
  const cluster: CaCluster = {
    files,
    rotation: undefined,
    nodes: Array.from({ length: nodeCount }, () => ({ files, started: files.ca })),
    client: files,
    outside: { nodes: [], workloads: [], requests: [], objects: [] },
    log: [],
    notes: [],
    parts: (killBefore = Infinity) => {
      let actions = 0;
      const act = (what: string, action: () => void): void => {
        if (actions++ === killBefore) throw new Killed(what);
        action();
        cluster.log.push(what);
        refuseStrangers(cluster);
      };
      return {
        read: async () => readRotation(cluster),
        differences: async () =>
          cluster.nodes.flatMap(({ files }, index) =>
            isSame(files, cluster.files)
              ? []
              : [{ node: `controller-${index}`, step: "credential/ca.pem", what: "differs" }],
          ),
        begin: async () => act("begin", () => (cluster.rotation = { old, next, progress: {} })),
        write: async (stage) =>
          act(stage, () => {
            const none = new Map<string, string>();
            const made =
              stage === "trusted"
                ? trustedFiles(none, { old, next })
                : stage === "reissued"
                  ? signingFiles({ old, next })
                  : droppedFiles(none, { next });
            const issuer = stage === "trusted" ? old.certificate : next.certificate;
            cluster.files = { ca: made["ca.pem"] ?? "", issuer };
          }),
        record: async (progress) =>
          act("record", () => {
            if (cluster.rotation !== undefined) cluster.rotation.progress = progress;
          }),
        roll: async () => {
          for (const [index, node] of cluster.nodes.entries()) {
            act(`controller-${index} files`, () => (node.files = cluster.files));
            act(`controller-${index} restart`, () => (node.started = node.files.ca));
          }
        },
        publish: async () => "2026-01-31T12:00:00.000Z",
        prove: async (_rotation, expected) => {
          for (const [which, authority] of [
            ["old", old],
            ["next", next],
          ] as const) {
            const accepting = cluster.nodes.filter(({ started }) => trusts(started, authority.certificate)).length;
            if (accepting !== (expected[which] === "accepted" ? nodeCount : 0))
              throw new Error(`${accepting} nodes accept the ${which} CA`);
          }
          cluster.log.push(`prove old ${expected.old}`);
        },
        kind: "cluster-ca",
        clients: async () => describeTrust(cluster.outside),
        certificates: async () => describeCertificates(cluster.outside, []),
        rest: async () => describeRest(cluster.outside),
        forget: async () => act("forget", () => {}),
        end: async () => act("end", () => (cluster.rotation = undefined)),
        last: async () => (cluster.log.includes("end") ? "/credentials/replaced-rotation" : undefined),
        note: (text) => void cluster.notes.push(text),
      };
    },
  };
  return cluster;
}

function readRotation({ rotation, files }: CaCluster): CaRotation | undefined {
  return rotation === undefined ? undefined : { ...rotation, stage: stageOf(files.ca, rotation) };
}

/** Every node calls every other node, and the client calls every node. Both sides verify each other. */
function refuseStrangers({ nodes, client }: CaCluster): void {
  for (const [index, { files, started }] of nodes.entries()) {
    const callers = [...nodes.map((node) => ({ ca: node.started, issuer: node.files.issuer })), client];
    for (const caller of callers) {
      if (!trusts(started, caller.issuer)) throw new Error(`controller-${index} refuses a caller`);
      if (!trusts(caller.ca, files.issuer)) throw new Error(`a caller refuses controller-${index}`);
    }
  }
}

function trusts(ca: string, issuer: string): boolean {
  const { fingerprint256: wanted } = new X509Certificate(issuer);
  return certificatesOf(ca).some(({ fingerprint256 }) => fingerprint256 === wanted);
}

function isSame(one: CaFiles, other: CaFiles): boolean {
  return one.ca === other.ca && one.issuer === other.issuer;
}
