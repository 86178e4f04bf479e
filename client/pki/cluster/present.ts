import { KhwError } from "../../../proto/errors.ts";
import type { Identity } from "../certificate.ts";
import { isPair } from "../folder.ts";

/** The content of the files that stand in the folder already, by name. */
export type PresentFiles = ReadonlyMap<string, string>;

/**
 * The certificate and key of that name, or undefined when neither is there.
 * @throws KhwError CREDENTIAL_INVALID when one is there without the other, or they are no pair
 */
export function pairIn(present: PresentFiles, name: string): Identity | undefined {
  const [certificate, key] = [present.get(`${name}.pem`), present.get(`${name}-key.pem`)];
  if (certificate === undefined && key === undefined) return undefined;
  if (certificate === undefined || key === undefined) {
    const [here, gone] =
      certificate === undefined ? [`${name}-key.pem`, `${name}.pem`] : [`${name}.pem`, `${name}-key.pem`];
    throw new KhwError("CREDENTIAL_INVALID", `${gone}: is missing, and ${here} stands there without it`, {
      hint: `bring ${gone} back, or move ${here} away`,
    });
  }
  const identity = { certificate, key };
  if (isPair(identity)) return identity;
  throw new KhwError("CREDENTIAL_INVALID", `${name}-key.pem: is not the key of ${name}.pem`, {
    hint: "take both from the same issue",
  });
}

/**
 * The cluster's CA where it is there and can sign what is missing; undefined where there is none, or where nothing is to be
 * signed: then its key may be elsewhere.
 * @throws KhwError CREDENTIAL_INVALID where it would have to sign and cannot, or signed what is there and is gone
 */
export function authorityIn(
  present: PresentFiles,
  { toSign, signed }: { readonly toSign: readonly string[]; readonly signed: readonly string[] },
): Identity | undefined {
  if (present.has("ca.pem") && toSign.length === 0) return undefined;
  if (present.has("ca.pem") && !present.has("ca-key.pem")) {
    throw new KhwError("CREDENTIAL_INVALID", `ca-key.pem: is missing, and must sign ${toSign.join(", ")}`, {
      hint: "bring the CA's key to the folder for as long as this takes",
    });
  }
  const authority = pairIn(present, "ca");
  if (authority === undefined && signed.length > 0) {
    throw new KhwError(
      "CREDENTIAL_INVALID",
      `ca.pem and ca-key.pem: are missing, and their CA issued ${signed.join(", ")}`,
      {
        hint: "bring the CA to the folder, or move what it issued away: a new CA would be another cluster's",
      },
    );
  }
  return authority;
}
