import { configFile } from "../../../proto/config-files.ts";
import { KhwError } from "../../../proto/errors.ts";
import { show } from "../../../proto/validate.ts";
import type { ClusterConfig, FlagChanges } from "../schema.ts";
import { certificatesProblem } from "./certificates.ts";
import { type OwnFiles, toConfigFile } from "./own-files.ts";
import { readNamedFile } from "./read.ts";

type Oidc = ClusterConfig["oidc"];

const caName = "oidc-ca.pem";

/**
 * Returns the API server's flags for an OpenID Connect provider, and the file with the provider's CA.
 * @param ownIssuer the issuer of the service accounts' tokens
 */
export async function oidcFiles(oidc: Oidc, ownIssuer: string): Promise<OwnFiles | undefined> {
  const { issuerUrl, clientId, caFile } = oidc;
  if (!isUsed(oidc)) return undefined;
  if (issuerUrl === undefined || clientId === undefined)
    throw new KhwError("CONFIG_INVALID", `oidc.${issuerUrl === undefined ? "issuerUrl" : "clientId"} is missing`, {
      hint: "oidc: {issuerUrl: https://login.example.com, clientId: kubernetes}",
    });
  refuseOwnIssuer("oidc.issuerUrl", issuerUrl, ownIssuer);
  return {
    flag: "oidc-issuer-url",
    files: caFile === undefined ? [] : [await readCa(caFile)],
    flags: toFlags(oidc),
  };
}

/** Whether any of the settings is set. */
export function isUsed({ requiredClaims, ...others }: Oidc): boolean {
  return Object.keys(requiredClaims).length > 0 || Object.values(others).some((value) => value !== undefined);
}

/** Rejects an issuer whose tokens the API server would confuse with those of service accounts. */
export function refuseOwnIssuer(setting: string, issuer: string, ownIssuer: string): void {
  if (issuer !== ownIssuer) return;
  throw new KhwError("CONFIG_INVALID", `${setting}: ${show(issuer)} is the issuer of the service accounts' tokens`, {
    hint: "use the URL of your provider; service accounts need no setting",
  });
}

async function readCa(path: string) {
  const setting = "oidc.caFile";
  const content = await readNamedFile(setting, path);
  const problem = certificatesProblem(content.toString("latin1"));
  if (problem !== undefined)
    throw new KhwError("CONFIG_INVALID", `${setting}: ${path} ${problem}`, {
      hint: "use the PEM file of the provider's CA",
    });
  return toConfigFile(setting, caName, content);
}

function toFlags({ requiredClaims, signingAlgs, caFile, ...oidc }: Oidc): FlagChanges {
  const [claim] = Object.entries(requiredClaims);
  const flags = {
    "oidc-issuer-url": oidc.issuerUrl,
    "oidc-client-id": oidc.clientId,
    "oidc-username-claim": oidc.usernameClaim,
    "oidc-username-prefix": oidc.usernamePrefix,
    "oidc-groups-claim": oidc.groupsClaim,
    "oidc-groups-prefix": oidc.groupsPrefix,
    "oidc-ca-file": caFile === undefined ? undefined : configFile(caName),
    "oidc-required-claim": claim?.join("="),
    "oidc-signing-algs": signingAlgs?.join(","),
  };
  return Object.fromEntries(Object.entries(flags).filter((entry): entry is [string, string] => entry[1] !== undefined));
}
