import { resolve } from "node:path";
import { stringify } from "yaml";
import { KhwError } from "../../proto/errors.ts";
import { createKubernetesApi } from "../../proto/kubernetes-api.ts";
import { show } from "../../proto/validate.ts";
import { createToken } from "../bootstrap-tokens/create.ts";
import { type BootstrapToken, tokenText } from "../bootstrap-tokens/token.ts";
import type { ClusterConfig } from "../config/schema.ts";
import { requireTokens } from "../config/tokens.ts";
import { createFile, refuseExisting } from "../files/create.ts";
import { readAdmin } from "../kubeconfig/admin.ts";
import type { Output } from "../progress/open.ts";
import { findPublicAddressOf } from "../rollout/addresses.ts";
import type { Context } from "../terminal/context.ts";
import { openPublicApi } from "../verify/verification.ts";

const requestMillis = 10_000;
const hourMillis = 3_600_000;
/** The longest lifetime of a token. A worker needs a token only until it has its certificate. */
const mostHours = 168;
const existingHint = "specify another file with --kubeconfig, or move the existing file to another place";

export interface TokenCreateOptions {
  readonly output: Output;
  /** The lifetime, such as 30m or 24h. */
  readonly expires: string;
  /** The file to create for the kubelet's --bootstrap-kubeconfig; if undefined, the token is printed. */
  readonly kubeconfig: string | undefined;
}

/** Creates a bootstrap token that workers use to request their certificates. Returns exit code 0. */
export async function tokenCreate(
  config: ClusterConfig,
  { signal, write }: Context,
  { output, expires, kubeconfig }: TokenCreateOptions,
): Promise<number> {
  const until = new Date(Date.now() + parseLifetime(expires));
  requireTokens(config);
  const file = kubeconfig === undefined ? undefined : resolve(kubeconfig);
  if (file !== undefined) await refuseExisting(file, existingHint);
  const admin = await readAdmin(config);
  const publicAddress = await findPublicAddressOf(config, signal);
  const server = `https://${publicAddress}:6443`;
  await createToken(openPublicApi({ publicAddress, admin }), {
    expires: until,
    ask: async (text, signal) => {
      const api = createKubernetesApi({ server, ca: admin.ca, token: text, timeoutMillis: requestMillis });
      return (await api("GET", "/api", { signal })).status;
    },
    deliver: async (token) => {
      if (file !== undefined) await createFile(file, bootstrapKubeconfig(server, admin.ca, token), existingHint);
      const shown = file === undefined ? { token: tokenText(token) } : { kubeconfig: file };
      const expiry = until.toISOString();
      if (output === "json") write(`${JSON.stringify({ id: token.id, expires: expiry, ...shown }, null, 2)}\n`);
      else write(`${file ?? tokenText(token)}\nnote: the token ${token.id} expires at ${expiry}\n`);
    },
    signal,
  });
  return 0;
}

function parseLifetime(text: string): number {
  const [, count = "", unit = ""] = /^(\d{1,5})([mh])$/.exec(text) ?? [];
  const millis = Number(count) * (unit === "h" ? hourMillis : hourMillis / 60);
  if (millis > 0 && millis <= mostHours * hourMillis) return millis;
  throw new KhwError("INVALID_ARGUMENT", `--expires: ${show(text)} is not a lifetime from 1m to ${mostHours}h`, {
    hint: "use a value such as 30m or 24h",
  });
}

/** Returns the file for the kubelet's --bootstrap-kubeconfig. */
function bootstrapKubeconfig(server: string, ca: Buffer, token: BootstrapToken): string {
  return stringify({
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name: "bootstrap", cluster: { server, "certificate-authority-data": ca.toString("base64") } }],
    users: [{ name: "kubelet-bootstrap", user: { token: tokenText(token) } }],
    contexts: [{ name: "bootstrap", context: { cluster: "bootstrap", user: "kubelet-bootstrap" } }],
    "current-context": "bootstrap",
  });
}
