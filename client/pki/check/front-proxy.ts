import type { X509Certificate } from "node:crypto";
import type { aggregationCredentialNames } from "../../../proto/components.ts";
import { frontProxyUser } from "../../../proto/front-proxy.ts";
import {
  authoritiesIn,
  certificateIn,
  keyIn,
  type Pem,
  problem,
  sharesKey,
  subjectIs,
  type Trust,
  usable,
} from "./certificate.ts";
import type { Findings } from "./problem.ts";

type FrontProxyFile = (typeof aggregationCredentialNames)[number];

interface FrontProxyContext extends Pick<Trust, "now" | "fieldsOf"> {
  /** The authorities whose certificates identify clients to the API servers. */
  readonly others: readonly X509Certificate[];
}

/** Checks the files of the aggregation layer, if there are any. */
export function* frontProxyIsSound(
  pem: (file: FrontProxyFile) => Pem | undefined,
  { others, ...reading }: FrontProxyContext,
): Findings {
  const ca = pem("front-proxy-ca.pem");
  const authorities = ca === undefined ? [] : yield* authoritiesIn(ca, reading);
  if (ca !== undefined) yield* differs(ca, authorities, others);
  const file = pem("front-proxy-client.pem");
  const trust: Trust = { ...reading, authorities, rootFile: "front-proxy-ca.pem" };
  const client = file === undefined ? undefined : yield* certificateIn(file, trust);
  if (file !== undefined && client !== undefined) {
    yield* subjectIs(file, client.certificate, { CN: frontProxyUser });
    yield* usable(file, client, { usages: ["clientAuth"], roots: authorities });
  }
  const key = pem("front-proxy-client-key.pem");
  if (key !== undefined) yield* keyIn(key, client?.certificate, "front-proxy-client.pem");
}

/**
 * Checks that the front-proxy CA has its own key. A client with a certificate from the front-proxy CA can act as any
 * user, so no other certificate may be signed with its key.
 */
function* differs(pem: Pem, authorities: readonly X509Certificate[], others: readonly X509Certificate[]): Findings {
  if (!sharesKey(authorities, others)) return;
  yield problem(pem, "publicKey", {
    what: "is the key of a CA that identifies clients, so a client of the cluster could act as any user",
    remedy: "move all front-proxy-*.pem files out of the way, then run khw-client pki create --aggregation",
  });
}
