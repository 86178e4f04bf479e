import { KhwError } from "../../proto/errors.ts";
import { isFields } from "../gce/fields.ts";
import type { KeySet } from "./jwks.ts";

/** Which instance an identity token must be from, and for what. */
export interface ExpectedToken {
  readonly project: string;
  readonly zone: string;
  readonly name: string;
  /** The instance's number, as the Compute API says it. */
  readonly id: string;
  readonly audience: string;
}

const issuer = "https://accounts.google.com";
/** From the token's making to now; it was made for a question of a moment ago. */
const maxAge = "5m";
/** Between Google's clock and this workstation's. */
const clockTolerance = "60s";

/**
 * The token (a JWT in Google's format "full") is signed by Google, was made now for this very question, and is from just this
 * instance. @throws KhwError IDENTITY_MISMATCH saying what is wrong
 */
export async function verifyIdentityToken(token: string, keys: KeySet, expected: ExpectedToken): Promise<void> {
  const { jwtVerify } = await import("jose");
  const { payload } = await jwtVerify(token, keys, {
    // The one that Google signs with. Whoever could choose another could do without a signature.
    algorithms: ["RS256"],
    issuer,
    audience: expected.audience,
    maxTokenAge: maxAge,
    clockTolerance,
    requiredClaims: ["iat", "exp", "aud", "iss"],
  }).catch((cause: unknown) => {
    throw refused(cause instanceof Error ? cause.message : String(cause), cause);
  });
  // A token for several audiences could be meant for somebody else as well.
  if (payload.aud !== expected.audience) throw refused("it is for other audiences, too");
  const google = isFields(payload["google"]) ? payload["google"] : {};
  const engine = isFields(google["compute_engine"]) ? google["compute_engine"] : {};
  const claims = [
    ["project", engine["project_id"], expected.project],
    ["zone", engine["zone"], expected.zone],
    ["instance", engine["instance_name"], expected.name],
    ["instance's number", engine["instance_id"], expected.id],
  ] as const;
  for (const [what, found, wanted] of claims) {
    if (found !== wanted) throw refused(`its ${what} is ${JSON.stringify(found) ?? "missing"}, not ${wanted}`);
  }
}

function refused(what: string, cause?: unknown): KhwError {
  return new KhwError("IDENTITY_MISMATCH", `the instance's identity token is refused: ${what}`, {
    hint: "nothing was signed. Who answers at the node's address? The clocks of both sides must be right within a minute, too",
    cause,
  });
}
