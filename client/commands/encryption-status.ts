import type { StoredValues } from "../../proto/gen/khw/agent/v1/encryption.ts";
import { openCluster } from "../cluster/open.ts";
import type { ClusterConfig } from "../config/schema.ts";
import type { Context } from "../terminal/context.ts";
import { askStoredValues, readConfig } from "../encryption/ask.ts";
import { parseEncryptionConfig } from "../encryption/config.ts";
import { type Stage, stageOfAll } from "../pki/encryption/stage.ts";
import { outdated, describeStored, unreadableValues } from "../encryption/stored.ts";
import type { Output } from "../progress/open.ts";
import { textTable } from "../terminal/table.ts";

const words: Readonly<Record<Stage, string>> = {
  settled: "no rotation is in progress",
  added: "a rotation is in progress: the new key exists, but is not used for encryption yet",
  first: "a rotation is in progress: the new key is used for encryption, but the old keys still exist",
};

/**
 * Prints which keys encrypt the values in etcd, and which values would be stored differently if they were written now.
 * Returns exit code 0.
 */
export async function encryptionStatus(
  config: ClusterConfig,
  { signal, write }: Context,
  { output }: { readonly output: Output },
): Promise<number> {
  await using cluster = await openCluster(config, signal);
  const { entries } = parseEncryptionConfig(await readConfig(config.credentials.folder));
  const stored = await askStoredValues(cluster, signal);
  const stage = stageOfAll(entries.map(({ providers }) => providers));
  const [old, lost] = [outdated(stored, entries), unreadableValues(stored, entries)];
  const shown = stored.filter((group) => group.provider !== "" || old.includes(group));
  if (output === "json") {
    write(`${JSON.stringify({ stored: shown, stage, outdated: old, unreadable: lost }, null, 2)}\n`);
    return 0;
  }
  write(`${await textTable(["RESOURCE", "ENCRYPTED WITH", "VALUES"], shown.map(toValuesRow))}\n${words[stage]}\n`);
  if (old.length > 0) write(`encrypted with an old key, or not encrypted: ${describeStored(old)}\n`);
  if (lost.length > 0) write(`encryption-config.yaml has no key for: ${describeStored(lost)}\n`);
  return 0;
}

function toValuesRow({ resource, provider, key, count }: StoredValues): string[] {
  return [resource, provider === "" ? "not encrypted" : `${provider} ${key}`, String(count)];
}
