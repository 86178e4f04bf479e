import { KhwError } from "../../proto/errors.ts";
import { isFields } from "../gce/fields.ts";
import type { KeySet } from "./jwks.ts";

/** The instance and the purpose that an identity token must specify. */
export interface ExpectedToken {
  readonly project: string;
  readonly zone: string;
  readonly name: string;
  /** The instance's numeric ID in the Compute API. */
  readonly id: string;
  readonly audience: string;
}

const issuer = "https://accounts.google.com";
/** The maximum age of a token. Each signing request comes with a new token. */
const maxAge = "5m";
/** The tolerated difference between Google's clock and this workstation's. */
const clockTolerance = "60s";

/**
 * Verifies that Google signed the token (a JWT in Google's format "full") just now, for this request and this
 * instance.
 * @throws KhwError IDENTITY_MISMATCH with the reason
 */
export async function verifyIdentityToken(token: string, keys: KeySet, expected: ExpectedToken): Promise<void> {
  const { jwtVerify } = await import("jose");
  const { payload } = await jwtVerify(token, keys, {
    // Accepts only Google's algorithm. If a token could choose its algorithm, it could choose "none" and need no
    // signature.
    algorithms: ["RS256"],
    issuer,
    audience: expected.audience,
    maxTokenAge: maxAge,
    clockTolerance,
    requiredClaims: ["iat", "exp", "aud", "iss"],
  }).catch((cause: unknown) => {
    throw tokenError(cause instanceof Error ? cause.message : String(cause), cause);
  });
  // A token with several audiences might be intended for another service.
  if (payload.aud !== expected.audience) throw tokenError("it is also for other audiences");
  const google = isFields(payload["google"]) ? payload["google"] : {};
  const engine = isFields(google["compute_engine"]) ? google["compute_engine"] : {};
  const claims = [
    ["project", engine["project_id"], expected.project],
    ["zone", engine["zone"], expected.zone],
    ["instance", engine["instance_name"], expected.name],
    ["instance's number", engine["instance_id"], expected.id],
  ] as const;
  for (const [what, found, wanted] of claims) {
    if (found !== wanted) throw tokenError(`its ${what} is ${JSON.stringify(found) ?? "missing"} instead of ${wanted}`);
  }
}

function tokenError(what: string, cause?: unknown): KhwError {
  return new KhwError("IDENTITY_MISMATCH", `the instance's identity token was rejected: ${what}`, {
    hint: "nothing was signed; check the node's address, and check that both clocks are accurate to within a minute",
    cause,
  });
}
