import { createHash, type KeyObject } from "node:crypto";
import { KhwError } from "../../proto/errors.ts";
import type { KubernetesApi } from "../../proto/kubernetes-api.ts";
import { type Look, waitFor } from "../../proto/wait-for.ts";
import { isMap, listOf, textAt } from "../pki/check/yaml.ts";
import { unexpected } from "./lists.ts";
import {
  findOldSecrets,
  findUses,
  type FindUsesOptions,
  isSignedBy,
  type OldSecret,
  secretType,
  tokenOf,
} from "./uses.ts";

type Replaceable = Omit<OldSecret, "pods">;

const fillMillis = 60_000;
const intervalMillis = 500;
const tries = 5;

export interface ReissueOptions {
  /** The new public key. */
  readonly newKey: KeyObject;
  /** Called before the references to these Secrets (NAMESPACE/NAME) are removed. */
  readonly before: (secrets: readonly string[]) => Promise<void>;
  readonly signal: AbortSignal;
}

/**
 * Gives a new Secret to every service account that refers to a Secret with an old token. Removes the references to the
 * old Secrets. The old Secrets stay, so that running pods keep working. New pods use the new Secrets. Secrets that no
 * service account refers to are left as they are. Returns the number of service accounts that got a new Secret.
 */
export async function reissueTokens(api: KubernetesApi, options: ReissueOptions): Promise<number> {
  const old = await findOldSecrets(api, options.newKey, options.signal);
  const accounts = Map.groupBy(old, ({ namespace, serviceAccount }) => `${namespace}/${serviceAccount}`);
  let count = 0;
  for (const secrets of accounts.values()) if (await replaceReferences(api, secrets, options)) count += 1;
  return count;
}

async function replaceReferences(
  api: KubernetesApi,
  secrets: readonly Replaceable[],
  { newKey, before, signal }: ReissueOptions,
): Promise<boolean> {
  const [first] = secrets;
  if (first === undefined) return false;
  const { namespace, serviceAccount } = first;
  const path = `/api/v1/namespaces/${namespace}/serviceaccounts/${serviceAccount}`;
  for (let attempt = 1; ; attempt++) {
    const { status, body } = await api("GET", path, { signal });
    if (status === 404) return false;
    if (status !== 200) throw unexpected(`GET ${path}`, status);
    const names = new Set(secrets.map(({ name }) => name));
    const references = listOf(body, "secrets");
    const old = references.flatMap((reference) => {
      const name = textAt(reference, "name");
      return name !== undefined && names.has(name) ? [name] : [];
    });
    if (old.length === 0 || !isMap(body)) return false;
    const name = await createSecret(api, first, { newKey, signal });
    const kept = references.filter((reference) => {
      const existing = textAt(reference, "name") ?? "";
      return !names.has(existing) && existing !== name;
    });
    await before(old.map((secret) => `${namespace}/${secret}`));
    // The resource version in the object makes the API server refuse the update if somebody else changed the object.
    const update = await api("PUT", path, { signal, body: { ...body, secrets: [{ name }, ...kept] } });
    if (update.status === 200) return true;
    if (update.status !== 409 || attempt === tries) throw unexpected(`PUT ${path}`, update.status);
  }
}

/** Creates a Secret for the service account, and waits until the controller manager has put a token into the Secret. */
async function createSecret(
  api: KubernetesApi,
  { namespace, serviceAccount }: Replaceable,
  { newKey, signal }: { readonly newKey: KeyObject; readonly signal: AbortSignal },
): Promise<string> {
  const name = secretName(serviceAccount, newKey);
  const path = `/api/v1/namespaces/${namespace}/secrets`;
  const metadata = { name, annotations: { "kubernetes.io/service-account.name": serviceAccount } };
  const { status } = await api("POST", path, {
    signal,
    body: { apiVersion: "v1", kind: "Secret", type: secretType, metadata },
  });
  // An interrupted run may have created the Secret.
  if (status !== 201 && status !== 409) throw unexpected(`POST ${path}`, status);
  await waitFor({
    what: `the Secret ${namespace}/${name} gets a token`,
    check: async (): Promise<Look<undefined>> => {
      const answer = await api("GET", `${path}/${name}`, { signal });
      const token = tokenOf(answer.body);
      if (token === undefined) return { seen: `status ${answer.status}, no token` };
      return (await isSignedBy(token, newKey)) ? { reached: undefined } : { seen: "a token signed with another key" };
    },
    deadlineMillis: fillMillis,
    intervalMillis,
    signal,
    late: ({ seen }) =>
      new KhwError(
        "VERIFY_FAILED",
        `the Secret ${namespace}/${name} did not get a token signed with the new key: ${seen}`,
        {
          hint: "check with khw-client status that kube-controller-manager is running, then run the command again",
        },
      ),
  });
  return name;
}

/** Returns the same name for the same key, so that the next run finds a Secret that an interrupted run created. */
export function secretName(serviceAccount: string, newKey: KeyObject): string {
  const digest = createHash("sha256")
    .update(newKey.export({ type: "spki", format: "der" }))
    .digest("hex");
  return `${serviceAccount.slice(0, 230)}-token-${digest.slice(0, 8)}`;
}

/**
 * Deletes the replaced Secrets that no pod uses. Must not be called before the old key is dropped, because the tokens
 * work until then. Returns the Secrets that are left, as NAMESPACE/NAME.
 */
export async function deleteReplaced(
  api: KubernetesApi,
  replaced: readonly string[],
  options: FindUsesOptions,
): Promise<{ readonly deleted: readonly string[]; readonly kept: readonly string[] }> {
  const { secrets } = await findUses(api, options);
  const candidates = secrets.filter(({ namespace, name }) => replaced.includes(`${namespace}/${name}`));
  const [deleted, kept]: [string[], string[]] = [[], []];
  for (const { namespace, name, pods } of candidates) {
    const path = `/api/v1/namespaces/${namespace}/secrets/${name}`;
    if (pods > 0) {
      kept.push(`${namespace}/${name}`);
      continue;
    }
    const { status } = await api("DELETE", path, { signal: options.signal });
    if (status !== 200 && status !== 404) throw unexpected(`DELETE ${path}`, status);
    deleted.push(`${namespace}/${name}`);
  }
  return { deleted, kept };
}
