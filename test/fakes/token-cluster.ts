import { createPublicKey, generateKeyPairSync } from "node:crypto";
import type { Progress, Rotation } from "../../client/service-accounts/folder.ts";
import type { RotationParts } from "../../client/service-accounts/rotate.ts";
import { privateFile, publicFile, stageOf } from "../../client/service-accounts/stage.ts";
import { splitPublicKeys } from "../../client/pki/token-keys.ts";
import type { OldUses } from "../../client/service-accounts/uses.ts";
import { Killed } from "./encrypted-cluster.ts";

/** The two key files. */
export interface KeyFiles {
  readonly [publicFile]: string;
  readonly [privateFile]: string;
}

/** Simulates API servers that sign tokens and accept each other's tokens. */
export interface TokenCluster {
  /** The files on the workstation. */
  files: KeyFiles;
  /** The rotation's folder. */
  rotation: { readonly newKey: string; readonly oldKey: string; progress: Progress } | undefined;
  readonly nodes: KeyFiles[];
  /** All actions, in order. */
  readonly log: string[];
  readonly notes: string[];
  uses: OldUses;
  /** If `killBefore` is given, the client is killed before the action with that index. */
  parts(killBefore?: number): RotationParts;
}

/** Creates a key pair in PEM format. */
export function newTokenKeys(): { readonly publicKey: string; readonly privateKey: string } {
  return generateKeyPairSync("ec", {
    namedCurve: "P-256",
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
  });
}

export function publicOf(privateKey: string): string {
  return createPublicKey(privateKey).export({ type: "spki", format: "pem" }).toString();
}

/** @throws as soon as an API server would refuse a token that another API server signed */
export function tokenCluster(nodeCount = 3): TokenCluster {
  const { publicKey, privateKey } = newTokenKeys();
  const files: KeyFiles = { [publicFile]: publicKey, [privateFile]: privateKey };
  const cluster: TokenCluster = {
    files,
    rotation: undefined,
    nodes: Array.from({ length: nodeCount }, () => files),
    log: [],
    notes: [],
    uses: { secrets: [], workloads: [] },
    parts: (killBefore = Infinity) => {
      let actions = 0;
      const act = (what: string, action: () => void): void => {
        if (actions++ === killBefore) throw new Killed(what);
        action();
        cluster.log.push(what);
        refuseForeignTokens(cluster);
      };
      return {
        read: async () => readRotation(cluster),
        begin: async () =>
          act("begin", () => {
            cluster.rotation = {
              newKey: newTokenKeys().privateKey,
              oldKey: cluster.files[privateFile],
              progress: {},
            };
          }),
        replace: async (files) => act("replace", () => (cluster.files = { ...cluster.files, ...files })),
        record: async (progress) =>
          act("record", () => {
            if (cluster.rotation !== undefined) cluster.rotation.progress = progress;
          }),
        differences: async () =>
          cluster.nodes.flatMap((files, index) =>
            isSame(files, cluster.files)
              ? []
              : [{ node: `controller-${index}`, step: `credential/${publicFile}`, what: "differs" }],
          ),
        roll: async () => {
          for (const index of cluster.nodes.keys())
            act(`controller-${index}`, () => (cluster.nodes[index] = cluster.files));
        },
        confirmSigning: async ({ keys: { newKey } }) => {
          if (cluster.nodes.some((files) => files[privateFile] !== newKey)) throw new Error("an old key signs");
          return new Date("2026-01-31T12:00:00Z");
        },
        reissue: async (_rotation, before) => {
          await before(["default/old-token"]);
          act("reissue", () => {});
        },
        uses: async () => cluster.uses,
        prove: async ({ oldKey }, expected) => {
          const accepting = cluster.nodes.filter((files) => accepts(files, oldKey)).length;
          if (accepting !== (expected === "accepted" ? nodeCount : 0)) throw new Error(`${accepting} nodes accept it`);
          cluster.log.push(`prove ${expected}`);
        },
        deleteReplaced: async ({ progress }) =>
          act(`delete ${(progress.replaced ?? []).join(" ")}`, () => {
            if (cluster.nodes.some((files) => accepts(files, cluster.rotation?.oldKey ?? "")))
              throw new Error("a Secret with a valid token is deleted");
          }),
        end: async () => act("end", () => (cluster.rotation = undefined)),
        last: async () => (cluster.log.includes("end") ? "/credentials/replaced-rotation" : undefined),
        note: (text) => void cluster.notes.push(text),
      };
    },
  };
  return cluster;
}

function readRotation({ rotation, files }: TokenCluster): Rotation | undefined {
  if (rotation === undefined) return undefined;
  const { newKey, oldKey, progress } = rotation;
  const keys = {
    certificates: files[publicFile],
    signingKey: files[privateFile],
    newCertificate: publicOf(newKey),
    newKey,
  };
  return { keys, oldKey, progress, stage: stageOf(keys) };
}

function refuseForeignTokens({ nodes }: TokenCluster): void {
  for (const signer of nodes)
    for (const [index, files] of nodes.entries())
      if (!accepts(files, signer[privateFile])) throw new Error(`controller-${index} refuses a token of the cluster`);
}

function accepts(files: KeyFiles, signingKey: string): boolean {
  const own = createPublicKey(signingKey);
  return splitPublicKeys(files[publicFile]).some(({ key }) => key.equals(own));
}

function isSame(one: KeyFiles, other: KeyFiles): boolean {
  return one[publicFile] === other[publicFile] && one[privateFile] === other[privateFile];
}
