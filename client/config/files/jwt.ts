import { show } from "../../../proto/validate.ts";
import { checkedUrl } from "../oidc.ts";
import { oneOf, text } from "../parsers.ts";
import { refuseAt, type Value } from "../value.ts";
import { certificatesProblem } from "./certificates.ts";
import { extra } from "./jwt-extra.ts";
import { allOf, type Check, fieldIn, filled, filledField, listOf, refuseEmpty, shape, string } from "./shape.ts";

export interface JwtUse {
  readonly minor: number;
  readonly ownIssuer: string;
  /** The issuers and discovery URLs found so far. Each URL may occur only once. */
  readonly seen: Set<string>;
}

/** The first minor release that knows issuer.egressSelectorType: https://github.com/kubernetes/kubernetes/pull/132768 */
const egressFrom = 34;

/** Checks the settings of a token issuer. */
export function checkJwt(value: Value, use: JwtUse): void {
  shape(
    {
      issuer: (found) => allOf([() => issuerShape(use)(found), () => discovery(found), () => audiences(found)]),
      claimValidationRules: (found) =>
        allOf([
          () => listOf(claimRule)(found),
          () => refuseTwice(found, "claim"),
          () => refuseTwice(found, "expression"),
        ]),
      claimMappings: (found) => allOf([() => mappings(found), () => verifiedEmail(found, value)]),
      userValidationRules: (found) =>
        allOf([
          () => listOf(shape({ expression: filled, message: string }, ["expression"]))(found),
          () => refuseTwice(found, "expression"),
        ]),
    },
    ["issuer", "claimMappings"],
  )(value);
}

function issuerShape({ minor, ownIssuer, seen }: JwtUse): Check {
  const url: Check = (value) => {
    const found = checkedUrl(value, string(value));
    if (seen.has(found)) refuseAt(value.origin, `${show(found)} is listed twice`);
    seen.add(found);
  };
  const ownUrl: Check = (value) => {
    if (text(value) === ownIssuer)
      refuseAt(value.origin, `${show(ownIssuer)} is the issuer of the service accounts' tokens`);
    url(value);
  };
  const egress: Check = (value) => {
    if (minor < egressFrom) refuseAt(value.origin, `Kubernetes knows this field from 1.${egressFrom} on`);
    oneOf(["controlplane", "cluster"])(value);
  };
  return shape(
    {
      url: ownUrl,
      discoveryURL: url,
      certificateAuthority: (value) => {
        const problem = certificatesProblem(string(value));
        if (problem !== undefined) refuseAt(value.origin, `the text ${problem}`);
      },
      audiences: (value) => allOf([() => listOf(filled)(value), () => refuseEmpty(value), () => refuseSame(value)]),
      audienceMatchPolicy: oneOf(["MatchAny"]),
      egressSelectorType: egress,
    },
    ["url", "audiences"],
  );
}

function discovery(issuer: Value): void {
  const [url, other] = [fieldIn(issuer, "url"), fieldIn(issuer, "discoveryURL")];
  const bare = (value: Value): string => text(value).replace(/\/+$/, "");
  if (url !== undefined && other !== undefined && bare(url) === bare(other))
    refuseAt(other.origin, "discoveryURL must differ from url");
}

function audiences(issuer: Value): void {
  const found = fieldIn(issuer, "audiences");
  if (found?.kind === "list" && found.items.length > 1 && fieldIn(issuer, "audienceMatchPolicy") === undefined)
    refuseAt(found.origin, "several audiences need audienceMatchPolicy", "audienceMatchPolicy: MatchAny");
}

function claimRule(value: Value): void {
  shape({ claim: string, requiredValue: string, expression: string, message: string })(value);
  const has = (name: string): boolean => filledField(value, name) !== undefined;
  if (has("claim") === has("expression")) refuseAt(value.origin, "a rule needs either claim or expression");
  if (has("claim") && has("message")) refuseAt(value.origin, "message needs expression");
  if (has("expression") && has("requiredValue")) refuseAt(value.origin, "requiredValue needs claim");
}

function mappings(value: Value): void {
  shape(
    {
      username: (found) => prefixed(found, true),
      groups: (found) => prefixed(found, false),
      uid: (found) => {
        shape({ claim: string, expression: string })(found);
        if (filledField(found, "claim") !== undefined) refuseWith(found, "expression", "claim");
      },
      extra: (found) => allOf([() => listOf(extra)(found), () => refuseTwice(found, "key")]),
    },
    ["username"],
  )(value);
}

/** A claim needs a prefix, which may be empty. An expression must not have a prefix. */
function prefixed(value: Value, needed: boolean): void {
  shape({ claim: string, prefix: string, expression: string })(value);
  const [claim, expression] = [filledField(value, "claim"), filledField(value, "expression")];
  if (claim !== undefined) refuseWith(value, "expression", "claim");
  if (claim === undefined && expression === undefined && needed)
    refuseAt(value.origin, "either claim or expression is needed");
  if (claim !== undefined && fieldIn(value, "prefix") === undefined)
    refuseAt(value.origin, "prefix is missing", 'set prefix: "oidc:"; or, for no prefix, prefix: ""');
  if (expression !== undefined) refuseWith(value, "prefix", "expression");
  const prefix = fieldIn(value, "prefix");
  if (claim === undefined && prefix !== undefined) refuseAt(prefix.origin, "prefix needs claim");
}

function refuseWith(value: Value, name: string, other: string): void {
  const found = name === "prefix" ? fieldIn(value, name) : filledField(value, name);
  if (found !== undefined) refuseAt(found.origin, `${name} and ${other} cannot be used together`);
}

/** A user name from the claim email requires a check of email_verified, because anybody may claim any address. */
function verifiedEmail(mappings: Value, jwt: Value): void {
  const name = fieldIn(fieldIn(mappings, "username") ?? mappings, "expression");
  if (name === undefined || !/\bclaims\.\??email\b(?!_)/.test(text(name))) return;
  const lists = [fieldIn(mappings, "extra"), fieldIn(jwt, "claimValidationRules")];
  const items = lists.flatMap((list) => (list?.kind === "list" ? list.items : []));
  const others = items.flatMap((item) => [fieldIn(item, "valueExpression"), fieldIn(item, "expression")]);
  const all = [name, ...others].filter((value) => value !== undefined).map(text);
  if (!all.some((expression) => /\bclaims\.\??email_verified\b/.test(expression)))
    refuseAt(
      name.origin,
      "the expression uses claims.email, but no expression uses claims.email_verified",
      'add claimValidationRules: [{expression: "claims.?email_verified.orValue(true) == true"}]',
    );
}

function refuseSame(list: Value): void {
  const found = list.kind === "list" ? list.items : [];
  const double = found.find((item, index) => found.findIndex((other) => text(other) === text(item)) !== index);
  if (double !== undefined) refuseAt(double.origin, `${show(text(double))} is listed twice`);
}

/** Rejects a list in which two items have the same value in this field. */
function refuseTwice(list: Value, name: string): void {
  const items = list.kind === "list" ? list.items : [];
  refuseSame({ ...list, kind: "list", items: items.flatMap((item) => filledField(item, name) ?? []) });
}
