import { type EncryptionConfig, parseEncryptionConfig } from "../../client/encryption/config.ts";
import type { RotationParts } from "../../client/encryption/stages.ts";
import { usesKms } from "../../client/encryption/uses-kms.ts";
import { writingKey } from "../../client/pki/encryption/stage.ts";
import type { NodeDifference } from "../../client/rollout/differences.ts";
import type { StoredValues } from "../../proto/gen/khw/agent/v1/encryption.ts";

/** Thrown to simulate a killed client. */
export class Killed extends Error {
  override readonly name = "Killed";
}

/**
 * Simulates API servers that share one etcd. Each server has its own configuration, and all servers read and write
 * continuously.
 */
export interface EncryptedCluster {
  /** The configuration file on the workstation. */
  file: string;
  readonly nodes: string[];
  /** The name of the KMS plugin in khw.yaml. */
  plugin: string | undefined;
  /** How each stored value is encrypted, for example "aescbc key1", or "" for plain text. */
  readonly values: string[];
  /** All actions, in order. */
  readonly log: string[];
  /**
   * Returns this cluster's implementation of the functions that a rotation needs. If `killBefore` is given, the client
   * is killed before the action with that index.
   */
  parts(killBefore?: number): RotationParts;
}

/** @throws as soon as an API server reads a value that it cannot decrypt */
export function encryptedCluster(file: string, nodeCount = 3, plugin?: string): EncryptedCluster {
  /** Whether an API server's unit also starts the plugin if the API server uses this configuration file. */
  const startsPlugin = (text: string): boolean =>
    cluster.plugin !== undefined && usesKms(Buffer.from(text), { name: cluster.plugin });
  const cluster: EncryptedCluster = {
    file,
    nodes: Array.from({ length: nodeCount }, () => file),
    plugin,
    values: [],
    log: [],
    parts: (killBefore = Infinity) => {
      let actions = 0;
      const act = (what: string, action: () => void): void => {
        if (actions++ === killBefore) throw new Killed(what);
        action();
        cluster.log.push(what);
        live(cluster);
      };
      return {
        read: async () => cluster.file,
        replace: async (text) => act("replace", () => (cluster.file = text)),
        differences: async () =>
          cluster.nodes.flatMap((text, index): NodeDifference[] => {
            const differs = {
              "credential/encryption-config.yaml": text !== cluster.file,
              "unit/kube-apiserver": units[index] !== startsPlugin(cluster.file),
            };
            return Object.entries(differs).flatMap(([step, is]) =>
              is ? { node: `controller-${index}`, step, what: "differs" } : [],
            );
          }),
        roll: async () => {
          for (const index of cluster.nodes.keys()) {
            act(`controller-${index}`, () => {
              cluster.nodes[index] = cluster.file;
              units[index] = startsPlugin(cluster.file);
            });
          }
        },
        rewrite: async () => {
          for (const index of cluster.values.slice().keys()) {
            act("rewrite", () => (cluster.values[index] = writes(cluster.nodes[index % cluster.nodes.length] ?? "")));
          }
        },
        stored: async () => count(cluster.values),
        note: () => {},
      };
    },
  };
  const units = cluster.nodes.map(startsPlugin);
  live(cluster);
  return cluster;
}

/**
 * Lets every API server write a value, and then lets every API server read all values. A server writes no value if a
 * stored value already has the encryption that the server would use.
 */
function live({ nodes, values }: EncryptedCluster): void {
  const writers = new Map([...new Set(nodes)].map((text) => [text, parseEncryptionConfig(text)]));
  for (const text of writers.keys()) if (!values.includes(writes(text))) values.push(writes(text));
  for (const [index, text] of nodes.entries()) {
    const known = reads(writers.get(text) ?? parseEncryptionConfig(text));
    const lost = values.find((value) => !known.has(value));
    if (lost !== undefined) throw new Error(`controller-${index} cannot read values stored as "${lost}"`);
  }
}

function writes(text: string): string {
  const [entry] = parseEncryptionConfig(text).entries;
  const key = writingKey(entry?.providers ?? []);
  return key === undefined ? "" : `${key.kind} ${key.name}`;
}

function reads({ entries: [entry] }: EncryptionConfig): Set<string> {
  const providers = entry?.providers ?? [];
  return new Set(
    providers.flatMap((provider) =>
      provider.kind === "identity"
        ? [""]
        : provider.kind === "kms"
          ? [`kms ${provider.name}`]
          : provider.keys.map(({ name }) => `${provider.kind} ${name}`),
    ),
  );
}

function count(values: readonly string[]): StoredValues[] {
  return [...new Set(values)].map((value) => {
    const [provider = "", key = ""] = value.split(" ");
    return { resource: "secrets", provider, key, count: values.filter((other) => other === value).length };
  });
}
