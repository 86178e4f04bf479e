import { KhwError } from "../../proto/errors.ts";
import type { KubernetesApi } from "../../proto/kubernetes-api.ts";
import { type WaitClock, waitFor } from "../../proto/wait-for.ts";
import { unexpected } from "../service-accounts/lists.ts";
import { tokenGrants } from "./grants.ts";
import { type BootstrapToken, newToken, tokenSecret, tokenText } from "./token.ts";

/** A watch notifies the API servers of a new Secret. */
const acceptMillis = 10_000;
const intervalMillis = 500;
const secrets = "/api/v1/namespaces/kube-system/secrets";

export interface CreateTokenOptions {
  readonly expires: Date;
  /**
   * Returns the HTTP status of a request with this token. The status is 200 or 403 if the API server accepts the token.
   */
  readonly ask: (token: string, signal: AbortSignal) => Promise<number>;
  /** Hands the token over to the user. If this fails, the token is deleted. */
  readonly deliver: (token: BootstrapToken) => Promise<void>;
  readonly signal: AbortSignal;
  readonly clock?: WaitClock;
}

/**
 * Creates a token, proves that the API server accepts the token, grants the rights that a joining kubelet needs, and
 * delivers the token. Deletes the token if any of these actions fails or is interrupted.
 * @throws KhwError VERIFY_FAILED
 */
export async function createToken(
  api: KubernetesApi,
  { expires, ask, deliver, signal, ...timing }: CreateTokenOptions,
): Promise<void> {
  const token = newToken(expires);
  const secret = tokenSecret(token);
  /** Even a request that got no response may have created the Secret. */
  let mayExist = true;
  try {
    const { status } = await api("POST", secrets, { signal, body: secret });
    // Status 409 means that the Secret with this name belongs to another token.
    mayExist = status !== 409;
    if (status !== 201) throw unexpected(`POST ${secrets}`, status);
    await waitFor({
      what: "the API server accepts the new token",
      check: async () => {
        const found = await ask(tokenText(token), signal);
        return found === 200 || found === 403 ? { reached: undefined } : { seen: `status ${found}` };
      },
      deadlineMillis: acceptMillis,
      intervalMillis,
      signal,
      ...timing,
      late: ({ seen }) =>
        new KhwError(
          "VERIFY_FAILED",
          `the API server does not accept the new token (${seen}), so the token is deleted again`,
          {
            hint: "run khw-client bootstrap, which turns on bootstrap tokens, then run the command again",
          },
        ),
    });
    await grantRights(api, signal);
    await deliver(token);
  } catch (error) {
    // A command that fails must not leave behind a token that nobody has seen.
    const path = `${secrets}/${secret.metadata.name}`;
    if (mayExist) await api("DELETE", path, { signal: AbortSignal.timeout(acceptMillis) }).catch(() => undefined);
    throw error;
  }
}

async function grantRights(api: KubernetesApi, signal: AbortSignal): Promise<void> {
  for (const { path, object } of tokenGrants) {
    const { status } = await api("PATCH", path, { signal, body: object });
    if (status !== 200 && status !== 201) throw unexpected(`PATCH ${path}`, status);
  }
}
