import t from "tap";
import { anonymousConfig, checkAuthentication } from "../../../../../client/config/files/structured-authentication.ts";
import { KhwError } from "../../../../../proto/errors.ts";

/**
 * The rules are those of the API server, in k8s.io/apiserver/pkg/apis/apiserver/validation/validation.go and
 * pkg/kubeapiserver/options/authentication.go. The test environment cannot run a Kubernetes release that has these
 * rules.
 */
function problems(text: string, minor = 34): string {
  try {
    checkAuthentication(text, "a.yaml", { minor, ownIssuer: "https://203.0.113.1:6443" });
    return "";
  } catch (error) {
    if (!(error instanceof KhwError) || error.code !== "CONFIG_INVALID") throw error;
    return error.message;
  }
}

const head = (version = "v1") => `apiVersion: apiserver.config.k8s.io/${version}\nkind: AuthenticationConfiguration\n`;
const issuer = "issuer: {url: https://login.example.com, audiences: [a]}";
const username = 'username: {claim: sub, prefix: "oidc:"}';
const jwt = (text: string, minor?: number) =>
  problems(`${head(minor === 30 ? "v1beta1" : "v1")}jwt:\n- ${text}\n`, minor);
const health = "[{path: /healthz}, {path: /livez}, {path: /readyz}]";

t.test("an API version that the Kubernetes release does not support is refused", (t) => {
  const of = (version: string, minor: number) => problems(`${head(version)}jwt: []\n`, minor);
  t.strictSame([of("v1beta1", 30), of("v1beta1", 34), of("v1", 34)], ["", "", ""]);
  t.match(of("v1", 33), /^a\.yaml:1:13: apiVersion: Kubernetes 1\.33 does not read .*\/v1, which exists from 1\.34 on/);
  t.match(of("v1alpha1", 34), /"apiserver\.config\.k8s\.io\/v1alpha1" is not a version that khw accepts/);
  t.match(problems("apiVersion: v1\nkind: Config\n"), /kind: "Config" is not one of AuthenticationConfiguration/);
  t.end();
});

t.test("a complete configuration is accepted", (t) => {
  const text = `{issuer: {url: https://a, discoveryURL: https://b/c, audiences: [a, b], audienceMatchPolicy: MatchAny, egressSelectorType: cluster}, claimValidationRules: [{claim: hd, requiredValue: x}, {expression: "claims.email_verified == true", message: invalid}], claimMappings: {username: {expression: claims.email}, groups: {claim: groups, prefix: ""}, uid: {claim: sub}, extra: [{key: example.org/team, valueExpression: claims.team}]}, userValidationRules: [{expression: "!user.username.startsWith('system:')"}]}`;
  t.equal(jwt(text), "");
  t.equal(checkAuthentication(`${head()}jwt: []\n`, "a", { minor: 34, ownIssuer: "" }), false);
  t.end();
});

t.test("the file that limits anonymous requests is valid, and configures anonymous authentication", (t) => {
  for (const [minor, version] of [
    [32, "v1beta1"],
    [34, "v1"],
  ] as const) {
    const text = anonymousConfig(minor);
    t.match(text, `apiserver.config.k8s.io/${version}\n`);
    t.equal(checkAuthentication(text, "a", { minor, ownIssuer: "" }), true);
  }
  t.end();
});

t.test("each error states the file, the line and the column", (t) => {
  const anonymous = (text: string, minor?: number) => problems(`${head("v1beta1")}anonymous: ${text}\n`, minor);
  const of = (settings: string, mappings = username) => jwt(`{${settings}, claimMappings: {${mappings}}}`);
  const cases: readonly (readonly [found: string, message: RegExp])[] = [
    [
      of("issuer: {url: http://a, audiences: [a]}"),
      /^a\.yaml:4:18: jwt\[0\]\.issuer\.url: "http:\/\/a" does not use https/,
    ],
    [of("issuer: {url: 'https://203.0.113.1:6443', audiences: [a]}"), /is the issuer of the service accounts' tokens/],
    [of("issuer: {url: 'https://u:p@a', audiences: [a]}"), /url: the URL contains a user name or a password/],
    [of("issuer: {url: https://a, audiences: []}"), /audiences: the list is empty/],
    [of("issuer: {url: https://a}"), /issuer: audiences is missing/],
    [of("issuer: {url: https://a, audiences: [a, a], audienceMatchPolicy: MatchAny}"), /"a" is listed twice/],
    [of("issuer: {url: https://a, audiences: [a, b]}"), /several audiences need audienceMatchPolicy/],
    [of("issuer: {url: https://a, discoveryURL: https://a/, audiences: [a]}"), /discoveryURL must differ from url/],
    [
      of("issuer: {url: https://a, audiences: [a], certificateAuthority: x}"),
      /the text contains no certificate in PEM format/,
    ],
    [
      jwt(`{${issuer}, claimMappings: {${username}}}\n- {${issuer}, claimMappings: {${username}}}`),
      /^a\.yaml:5:18: jwt\[1\]\.issuer\.url: .* is listed twice/,
    ],
    [jwt(`{${issuer}}`), /claimMappings is missing/],
    [of(issuer, "username: {claim: sub}"), /username: prefix is missing/],
    [
      of("issuer: {url: https://a, audiences: [245234523]}"),
      /audiences\[0\]: Kubernetes reads 245234523 as a number, but needs a string/,
    ],
    [of(`${issuer}, claimValidationRules: [{claim: a, requiredValue: true}]`), /reads true as a boolean/],
    [of(`${issuer}, claimValidationRules: [{claim: "", expression: ""}]`), /a rule needs either claim or expression/],
    [of(issuer, "username: {claim: sub, prefix: 1}"), /prefix: Kubernetes reads 1 as a number/],
    [of(issuer, 'username: {claim: "", prefix: ""}'), /either claim or expression is needed/],
    [of(issuer, `${username}, groups: {claim: "", prefix: ""}`), /prefix needs claim/],
    [of(issuer, `${username}, extra: [{key: a.org/b, valueExpression: 1}]`), /reads 1 as a number/],
    [anonymous('{enabled: "true"}'), /enabled: "true" is not a boolean/],
    [of(issuer, "username: {}"), /either claim or expression is needed/],
    [of(issuer, 'username: {expression: claims.sub, prefix: ""}'), /prefix and expression cannot be used together/],
    [of(issuer, `${username}, groups: {claim: g}`), /groups: prefix is missing/],
    [of(issuer, `${username}, uid: {claim: a, expression: b}`), /expression and claim cannot be used together/],
    [of(issuer, "username: {expression: claims.email}"), /no expression uses claims\.email_verified/],
    [of(issuer, `${username}, extra: [{key: Team, valueExpression: a}]`), /"Team" is not a lower-case domain/],
    [of(issuer, `${username}, extra: [{key: a.k8s.io/b, valueExpression: a}]`), /"a\.k8s\.io" is reserved/],
    [of(`${issuer}, claimValidationRules: [{}]`), /a rule needs either claim or expression/],
    [of(`${issuer}, claimValidationRules: [{claim: a, message: b}]`), /message needs expression/],
    [of(`${issuer}, claimValidationRules: [{claim: a}, {claim: a}]`), /"a" is listed twice/],
    [of(`${issuer}, userValidationRules: [{expression: ""}]`), /the text is empty/],
    [of(`${issuer}, userValidationRule: []`), /userValidationRule: there is no such key/],
    [
      jwt(`{issuer: {url: https://a, audiences: [a], egressSelectorType: cluster}, claimMappings: {${username}}}`, 30),
      /knows this field from 1\.34 on/,
    ],
    [
      anonymous(`{enabled: true, conditions: ${health}}`, 31),
      /^a\.yaml:3:12: anonymous: Kubernetes 1\.31 accepts this field only with a feature gate/,
    ],
    [anonymous("{enabled: false}"), /request \/healthz, \/livez, \/readyz without a certificate/],
    [anonymous("{enabled: true, conditions: [{path: /healthz}]}"), /request \/livez, \/readyz without a certificate/],
    [anonymous(`{enabled: false, conditions: ${health}}`), /conditions need enabled: true/],
  ];
  for (const [found, message] of cases) t.match(found, message);
  t.equal(anonymous("{enabled: true}"), "");
  t.end();
});
