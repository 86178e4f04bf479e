import { show } from "../../proto/validate.ts";
import { list, mergeRecords, oneOf, optional, path, record, text } from "./parsers.ts";
import type { Group, Setting } from "./setting.ts";
import { refuseAt, type Value } from "./value.ts";

/** The algorithms that the API server accepts: plugin/pkg/authenticator/token/oidc in k8s.io/apiserver. */
const algorithms = ["RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512"] as const;

/** The group `oidc` in khw.yaml. */
export const oidc = {
  title: "Users of an OpenID Connect provider. From Kubernetes 1.30 on, authentication.config can do more.",
  keys: {
    issuerUrl: {
      help: "URL of the provider, which must use https. Its tokens name this URL as their issuer.",
      default: null,
      flag: { name: "--oidc-issuer-url", value: "url" },
      parse: optional(issuerUrl),
    },
    clientId: word("--oidc-client-id", "id", "The client that tokens must be issued for."),
    usernameClaim: word("--oidc-username-claim", "claim", "The claim with the user's name. Default: sub."),
    usernamePrefix: word(
      "--oidc-username-prefix",
      "text",
      "Prefix of each user's name; a hyphen means no prefix. Default: the URL and #; no prefix if the claim is email.",
    ),
    groupsClaim: word("--oidc-groups-claim", "claim", "The claim with the user's groups. Default: no groups."),
    groupsPrefix: word(
      "--oidc-groups-prefix",
      "text",
      "Prefix of each group's name. Without a prefix, the provider can put users into system:masters.",
    ),
    caFile: {
      help: "PEM file of the provider's CA. Default: the CAs of the controllers' operating system.",
      default: null,
      flag: { name: "--oidc-ca-file", value: "file" },
      parse: optional(path),
    },
    requiredClaims: {
      help: "A claim that tokens must have, with its value. khw supports one claim.",
      default: {},
      flag: { name: "--oidc-required-claim", value: "claim=value", repeat: "map" },
      parse: requiredClaims,
      merge: mergeRecords<string>,
    },
    signingAlgs: {
      help: "The accepted signature algorithms. Default: RS256.",
      default: null,
      flag: { name: "--oidc-signing-alg", value: "name", repeat: "list" },
      parse: optional(list(oneOf(algorithms))),
    },
  },
} as const satisfies Group;

function word(name: `--${string}`, value: string, help: string): Setting<string | undefined> {
  return { help, default: null, flag: { name, value }, parse: optional(plain) };
}

function plain(value: Value): string {
  const found = text(value);
  // The value becomes a flag of the API server.
  if (found === "" || !/^[\x21-\x7e]+$/.test(found))
    refuseAt(
      value.origin,
      `${/:\/\/.*@/.test(found) ? "the URL" : show(found)} is empty, or has spaces or characters other than ASCII`,
    );
  return found;
}

function issuerUrl(value: Value): string {
  return checkedUrl(value, plain(value));
}

/**
 * Rejects text that is not the URL of an issuer. The API server has the same rules. The message leaves out a URL that
 * may contain a password or a token.
 */
export function checkedUrl({ origin }: Value, url: string): string {
  const problem = urlProblem(url);
  if (problem !== undefined) refuseAt(origin, `${/[@?#]/.test(url) ? "the URL" : show(url)} ${problem}`);
  return url;
}

function urlProblem(url: string): string | undefined {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed === undefined) return "is not a URL";
  if (parsed.protocol !== "https:") return "does not use https";
  if (parsed.username !== "" || parsed.password !== "") return "contains a user name or a password";
  return /[?#]/.test(url) ? "contains a query or a fragment" : undefined;
}

function requiredClaims(value: Value): Readonly<Record<string, string>> {
  const claims = record((_, claim) => claim, plain)(value);
  const names = Object.keys(claims);
  if (names.length > 1)
    refuseAt(
      value.origin,
      `there are ${names.length} claims, but khw supports one`,
      "from Kubernetes 1.30 on, use claimValidationRules in authentication.config",
    );
  const faulty = names.find((name) => !/^[\x21-\x3c\x3e-\x7e]+$/.test(name));
  if (faulty !== undefined) refuseAt(value.origin, `${show(faulty)} cannot be the name of a claim`);
  return claims;
}
