import { type KhwError, toKhwError } from "../../proto/errors.ts";
import type { StepEvent } from "../../proto/step.ts";
import type { OpenCluster } from "../cluster/open.ts";
import { kmsOf } from "../config/encryption.ts";
import type { ClusterConfig } from "../config/schema.ts";
import type { Context } from "../terminal/context.ts";
import type { AdminCredentials } from "../pki/check/read.ts";
import { askStoredValues, readConfig } from "../encryption/ask.ts";
import { openMetadataApi } from "../encryption/metadata-api.ts";
import { parseKeyedKind } from "../pki/encryption/provider.ts";
import { findResources } from "../encryption/resources.ts";
import { rewrite } from "../encryption/rewrite.ts";
import { rotate } from "../encryption/rotate.ts";
import { type RotationOptions, whileRotating } from "../rotations/session.ts";
import { prepare } from "../rollout/plan.ts";
import { phase } from "../progress/phase.ts";
import type { Progress } from "../progress/progress.ts";

export interface EncryptionRotateOptions extends RotationOptions {
  /** The value of --provider. */
  readonly provider?: string | undefined;
}

const configFile = "encryption-config.yaml";
const apiTrack = "Kubernetes API";
const writesAtOnce = 8;

/** Replaces the keys for Kubernetes encryption at rest; see `rotate`. Returns exit code 0, or throws an error. */
export async function encryptionRotate(
  config: ClusterConfig,
  context: Context,
  { output, provider, noRollback }: EncryptionRotateOptions,
): Promise<number> {
  const { signal } = context;
  const kind = provider === undefined ? undefined : parseKeyedKind(provider);
  await whileRotating("encryption-key", { config, context, output, noRollback }, async (session) => {
    const { cluster, progress, note, differences, roll } = session;
    await rotate(
      {
        read: () => readConfig(config.credentials.folder),
        replace: (text) => session.replace({ [configFile]: text }),
        differences,
        roll,
        rewrite: (resources) => rewriteThrough(cluster, resources, { progress, signal }),
        stored: () => askStoredValues(cluster, signal),
        note,
      },
      { kind, kms: kmsOf(config.encryption), now: new Date() },
    );
  });
  return 0;
}

async function rewriteThrough(
  cluster: OpenCluster,
  resources: readonly string[],
  { progress, signal }: { readonly progress: Progress; readonly signal: AbortSignal },
): Promise<void> {
  const { admin, publicAddress } = await prepare(cluster, {
    signal,
    mayCreateAddress: false,
    newCredentials: "refuse",
  });
  await using api = await openAdminApi(admin, publicAddress);
  const emit = (event: StepEvent): void => progress.emit({ kind: "step", track: apiTrack, event });
  progress.emit({ kind: "begin", tracks: [apiTrack] });
  let error: KhwError | undefined;
  try {
    for (const resource of await findResources(api, resources, signal)) {
      await phase({ id: resource.name, summary: "objects are rewritten with the new key" }, emit, (told) =>
        rewrite(api, resource, { signal, progress: told, atOnce: writesAtOnce }),
      );
    }
  } catch (thrown) {
    error = toKhwError(thrown);
  }
  progress.emit({ kind: "end", track: apiTrack, changed: 1, error });
  await progress.settled();
  if (error !== undefined) throw error;
}

function openAdminApi({ ca, certificate, key }: AdminCredentials, publicAddress: string) {
  const server = `https://${publicAddress}:6443`;
  return openMetadataApi({ server, ca, certificate, key, connections: writesAtOnce });
}
