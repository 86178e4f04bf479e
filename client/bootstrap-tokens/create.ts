import { KhwError } from "../../proto/errors.ts";
import type { KubernetesApi } from "../../proto/kubernetes-api.ts";
import { type WaitClock, waitFor } from "../../proto/wait-for.ts";
import { unexpected } from "../service-accounts/lists.ts";
import { tokenGrants } from "./grants.ts";
import { type BootstrapToken, newToken, tokenSecret, tokenText } from "./token.ts";

/** The API servers learn about a new Secret through a watch. */
const acceptMillis = 10_000;
const intervalMillis = 500;
const secrets = "/api/v1/namespaces/kube-system/secrets";

export interface CreateTokenOptions {
  readonly expires: Date;
  /** Returns the status of a request with this token: 200 or 403 if the API server accepts the token. */
  readonly ask: (token: string, signal: AbortSignal) => Promise<number>;
  readonly signal: AbortSignal;
  readonly clock?: WaitClock;
}

/**
 * Grants the rights that a joining kubelet needs, creates a token, and proves that the API server accepts the token. If
 * the API server refuses the token, deletes the token again.
 * @throws KhwError VERIFY_FAILED
 */
export async function createToken(
  api: KubernetesApi,
  { expires, ask, signal, ...timing }: CreateTokenOptions,
): Promise<BootstrapToken> {
  for (const { path, object } of tokenGrants) {
    const { status } = await api("PATCH", path, { signal, body: object });
    if (status !== 200 && status !== 201) throw unexpected(`PATCH ${path}`, status);
  }
  const token = newToken(expires);
  const secret = tokenSecret(token);
  const { status } = await api("POST", secrets, { signal, body: secret });
  if (status !== 201) throw unexpected(`POST ${secrets}`, status);
  try {
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
            hint: "set tlsBootstrap: true in khw.yaml, run khw-client bootstrap, then run the command again",
          },
        ),
    });
  } catch (error) {
    // An interrupted command must not leave a token behind that nobody has seen.
    const path = `${secrets}/${secret.metadata.name}`;
    await api("DELETE", path, { signal: AbortSignal.timeout(acceptMillis) }).catch(() => undefined);
    throw error;
  }
  return token;
}
