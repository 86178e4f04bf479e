import { randomInt } from "node:crypto";
import { tokenGroup } from "./grants.ts";

/** A bootstrap token, which a kubelet uses to request its first certificate. */
export interface BootstrapToken {
  /** The public part, which is in the name of the token's Secret. */
  readonly id: string;
  readonly secret: string;
  readonly expires: Date;
}

const letters = "abcdefghijklmnopqrstuvwxyz0123456789";

/** Creates a token with the lengths that Kubernetes requires. The secret has 82 random bits. */
export function newToken(expires: Date): BootstrapToken {
  return { id: random(6), secret: random(16), expires };
}

function random(length: number): string {
  return Array.from({ length }, () => letters[randomInt(letters.length)]).join("");
}

/** Returns the token as the kubelet sends it. */
export function tokenText({ id, secret }: BootstrapToken): string {
  return `${id}.${secret}`;
}

/**
 * Returns the Secret that makes the token known to the API servers. The tokencleaner deletes the Secret when the token
 * has expired.
 */
export function tokenSecret({ id, secret, expires }: BootstrapToken) {
  return {
    apiVersion: "v1",
    kind: "Secret",
    type: "bootstrap.kubernetes.io/token",
    metadata: { name: `bootstrap-token-${id}`, namespace: "kube-system" },
    stringData: {
      description: "Created by khw-client token create.",
      "token-id": id,
      "token-secret": secret,
      expiration: expires.toISOString().replace(/\.\d+Z$/, "Z"),
      "usage-bootstrap-authentication": "true",
      "usage-bootstrap-signing": "true",
      "auth-extra-groups": tokenGroup,
    },
  };
}
