/** Creates instance identity tokens in the format of Google's metadata server, signed with the testbed's own key. */
import { createSign, generateKeyPairSync } from "node:crypto";

/** The project of the instances. */
export interface TokenPlatform {
  readonly project: string;
  readonly projectNumber: string;
}

export interface TokenInstance {
  readonly name: string;
  readonly id: string;
  readonly zone: string;
}

export interface TokenSigner {
  /** Returns a JWT for the audience. If an instance is given, the token has the format "full". */
  sign(audience: string, instance?: TokenInstance): string;
  /** Returns the public keys for verifying tokens. */
  jwks(): object;
}

const keyId = "testbed-1";
const hourSeconds = 3600;

/**
 * Creates a signer for tokens. Their claims are documented at
 * https://cloud.google.com/compute/docs/instances/verifying-instance-identity#payload
 */
export function createTokenSigner({ project, projectNumber }: TokenPlatform): TokenSigner {
  const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  return {
    sign: (audience, instance) => {
      const now = Math.floor(Date.now() / 1000);
      const claims = {
        iss: "https://accounts.google.com",
        iat: now,
        exp: now + hourSeconds,
        aud: audience,
        sub: "107517467455664443765",
        azp: "107517467455664443765",
        email: `${projectNumber}-compute@developer.gserviceaccount.com`,
        email_verified: true,
        ...(instance && {
          google: {
            compute_engine: {
              project_id: project,
              project_number: Number(projectNumber),
              zone: instance.zone,
              instance_id: instance.id,
              instance_name: instance.name,
              instance_creation_timestamp: now - hourSeconds,
            },
          },
        }),
      };
      const signed = [{ alg: "RS256", kid: keyId, typ: "JWT" }, claims].map(encode).join(".");
      return `${signed}.${createSign("RSA-SHA256").update(signed).sign(privateKey, "base64url")}`;
    },
    jwks: () => ({ keys: [{ ...publicKey.export({ format: "jwk" }), kid: keyId, alg: "RS256", use: "sig" }] }),
  };
}

function encode(part: object): string {
  return Buffer.from(JSON.stringify(part)).toString("base64url");
}
