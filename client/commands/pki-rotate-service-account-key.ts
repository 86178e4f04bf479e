import { createPublicKey } from "node:crypto";
import { KhwError } from "../../proto/errors.ts";
import { parseRelease } from "../../proto/release.ts";
import { refuse, show } from "../../proto/validate.ts";
import { controllersOf, type OpenCluster } from "../cluster/open.ts";
import { clusterPki, workersOf } from "../config/cluster-pki.ts";
import type { ClusterConfig } from "../config/schema.ts";
import { clusterFiles, issueLeaf } from "../pki/cluster/create.ts";
import { readPresent } from "../pki/cluster/folder.ts";
import { authorityIn, pairIn } from "../pki/cluster/present.ts";
import type { Prepared } from "../rollout/plan.ts";
import { type RotationOptions, type RotationSession, whileRotating } from "../rotations/session.ts";
import {
  beginRotation,
  endRotation,
  lastKeyRotation,
  readRotation,
  recordProgress,
  type Rotation,
} from "../service-accounts/folder.ts";
import { checkTokens, probeTokens, signedAt } from "../service-accounts/probe.ts";
import { deleteReplaced, reissueTokens } from "../service-accounts/reissue.ts";
import { rotate, type RotationParts } from "../service-accounts/rotate.ts";
import { tokenServers } from "../service-accounts/servers.ts";
import { findUses, isSignedBy } from "../service-accounts/uses.ts";
import type { Context } from "../terminal/context.ts";
import { openPublicApi } from "../verify/verification.ts";

export interface RotateServiceAccountKeyOptions extends RotationOptions {
  /** The value of --drop-on: a day in UTC. */
  readonly dropOn: string | undefined;
  readonly reissueTokens: boolean;
}

/** From this minor release on, Kubernetes no longer creates Secrets with tokens automatically. */
const firstWithoutSecrets = 24;

/** Replaces the key that signs the service accounts' tokens; see `rotate`. Returns exit code 0, or throws an error. */
export async function pkiRotateServiceAccountKey(
  config: ClusterConfig,
  context: Context,
  options: RotateServiceAccountKeyOptions,
): Promise<number> {
  const dropOn = options.dropOn === undefined ? undefined : parseDay(options.dropOn);
  await whileRotating("service-account-key", { config, context, ...options }, (session) =>
    rotate(rotationParts(session, context.signal), { now: new Date(), dropOn, reissueTokens: options.reissueTokens }),
  );
  return 0;
}

function rotationParts(session: RotationSession, signal: AbortSignal): RotationParts {
  const { cluster, note, prepared } = session;
  const { folder } = cluster.config.credentials;
  const findOptions = ({ keys, progress: { signingSince } }: Rotation) => ({
    newKey: createPublicKey(keys.newKey),
    signingSince: new Date(signingSince ?? Date.now()),
    signal,
  });
  return {
    read: () => readRotation(folder),
    begin: async () => {
      await beginRotation(folder, await newKeys(cluster, await prepared()));
      note(`the new key is created; the progress of the rotation is recorded in ${folder}`);
    },
    replace: session.replace,
    record: (latest) => recordProgress(folder, latest),
    differences: session.differences,
    roll: session.roll,
    confirmSigning: async ({ keys, oldKey }) => {
      const { current } = await probeTokens(openPublicApi(await prepared()), oldKey, { signal });
      if (await isSignedBy(current, createPublicKey(keys.newKey))) return signedAt(current);
      throw new KhwError("VERIFY_FAILED", "an API server still signs tokens with another key", {
        hint: "run khw-client plan to see whether a node has different key files; then run the command again",
      });
    },
    reissue: async ({ keys }, before) => {
      const plan = await prepared();
      if ((parseRelease(plan.releases.kubernetes)?.minor ?? 0) >= firstWithoutSecrets) {
        note(
          `Kubernetes ${plan.releases.kubernetes} gives pods tokens without Secrets; recreate the remaining Secrets with tokens yourself`,
        );
        return;
      }
      const newKey = createPublicKey(keys.newKey);
      const count = await reissueTokens(openPublicApi(plan), { newKey, before, signal });
      note(`${count} service accounts got a new Secret; the old Secrets stay until the old key is dropped`);
    },
    uses: async (rotation) => findUses(openPublicApi(await prepared()), findOptions(rotation)),
    prove: async ({ oldKey }, otherIs) => {
      const { admin, publicAddress } = await prepared();
      const servers = await tokenServers(cluster, { ca: admin.ca, publicAddress, signal });
      const tokens = await probeTokens(openPublicApi({ admin, publicAddress }), oldKey, { signal });
      await checkTokens(servers, tokens, { otherIs, signal });
      const names = servers.map(({ name }) => name).join(", ");
      note(`a token signed with the old key is ${otherIs}${otherIs === "refused" ? " (401)" : ""} by: ${names}`);
    },
    deleteReplaced: async (rotation) => {
      const { replaced = [] } = rotation.progress;
      const { deleted, kept } = await deleteReplaced(openPublicApi(await prepared()), replaced, findOptions(rotation));
      note(`${deleted.length} replaced Secrets with invalid tokens are deleted`);
      for (const name of kept)
        note(`the replaced Secret ${name} is kept, because pods use it; delete it when no pod uses it`);
    },
    end: async () =>
      note(`the old key is kept in ${await endRotation(folder, new Date())}; to remove it, delete this folder`),
    last: () => lastKeyRotation(folder),
    note,
  };
}

/** Creates the new key pair and its certificate, which the cluster's CA signs like the old certificate. */
async function newKeys(cluster: OpenCluster, { publicAddress }: Prepared) {
  const { config } = cluster;
  const workers = workersOf(config.pki.workers);
  const present = await readPresent(
    config.credentials.folder,
    clusterFiles({ ...config.pki, workers, aggregation: config.aggregation }),
  );
  const old = pairIn(present, "service-account");
  const now = new Date();
  const authority = authorityIn(present, { toSign: ["service-account"], signed: ["service-account"], now });
  if (old === undefined || authority === undefined) {
    throw new KhwError("CREDENTIAL_INVALID", `${config.credentials.folder}: service-account.pem or ca.pem is missing`, {
      hint: "specify the folder of the cluster's files with --credentials",
    });
  }
  const pki = clusterPki(config, { controllers: controllersOf(cluster), publicAddress });
  const { certificate, key } = await issueLeaf(authority, { ...pki, name: "service-account" }, now);
  return { oldKey: old.key, newKey: key, newCertificate: certificate };
}

function parseDay(text: string): string {
  const valid = /^\d{4}-\d\d-\d\d$/.test(text) && !Number.isNaN(Date.parse(text));
  return valid ? text : refuse("--drop-on", `${show(text)} is not a day`, "use a day in UTC, for example 2027-01-31");
}
