import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { readConfigFiles } from "../../../../../client/config/files/own.ts";
import { loadConfig } from "../../../../../client/config/load.ts";
import { createAuthority } from "../../../../../client/pki/management/issue.ts";

const folder = await mkdtemp(join(tmpdir(), "khw-oidc-"));
t.teardown(() => rm(folder, { recursive: true }));
await writeFile(join(folder, "ca.pem"), (await createAuthority(new Date())).certificate);

async function read(text: string, kubernetes = "v1.21.0") {
  await writeFile(join(folder, "khw.yaml"), text);
  const config = await loadConfig({ flags: new Map(), folder, env: { HOME: folder } });
  return readConfigFiles(config, { releases: { kubernetes }, publicAddress: "203.0.113.1" });
}

const provider = "issuerUrl: https://login.example.com, clientId: kubernetes";

t.test("the oidc settings become flags, and the CA is sent as a file", async (t) => {
  const { files, flags } = await read(
    `oidc: {${provider}, usernameClaim: email, usernamePrefix: "oidc:", groupsClaim: groups, groupsPrefix: "oidc:", caFile: ca.pem, requiredClaims: {hd: example.com}, signingAlgs: [RS256, ES256]}`,
  );
  t.strictSame(flags, {
    "oidc-issuer-url": "https://login.example.com",
    "oidc-client-id": "kubernetes",
    "oidc-username-claim": "email",
    "oidc-username-prefix": "oidc:",
    "oidc-groups-claim": "groups",
    "oidc-groups-prefix": "oidc:",
    "oidc-ca-file": "/etc/kubernetes/config/oidc-ca.pem",
    "oidc-required-claim": "hd=example.com",
    "oidc-signing-algs": "RS256,ES256",
  });
  t.match(files, [{ name: "oidc-ca.pem", content: /BEGIN CERTIFICATE/ }]);
  t.strictSame(Object.keys((await read(`oidc: {${provider}}`)).flags), ["oidc-issuer-url", "oidc-client-id"]);
  t.strictSame(await read(""), { files: [], flags: {}, plugins: [] });
});

t.test("an invalid oidc setting is refused, and the error names the setting", async (t) => {
  const cases: readonly (readonly [text: string, message: RegExp])[] = [
    ["oidc: {issuerUrl: http://a, clientId: b}", /^khw\.yaml:1:19: oidc\.issuerUrl: "http:\/\/a" does not use https$/],
    ["oidc: {issuerUrl: login, clientId: b}", /oidc\.issuerUrl: "login" is not a URL/],
    ["oidc: {issuerUrl: 'https://u:p@a', clientId: b}", /contains a user name or a password/],
    ["oidc: {issuerUrl: 'https://u:p@a', clientId: b}", /issuerUrl: the URL contains/],
    ["oidc: {issuerUrl: 'https://u:p @a', clientId: b}", /issuerUrl: the URL is empty, or has spaces/],
    ["oidc: {issuerUrl: 'https://a?b=c', clientId: b}", /contains a query or a fragment/],
    ["oidc: {issuerUrl: https://a}", /^oidc\.clientId is missing$/],
    ["oidc: {groupsClaim: groups}", /^oidc\.issuerUrl is missing$/],
    [`oidc: {${provider}, signingAlgs: [HS256]}`, /oidc\.signingAlgs\[0\]: "HS256" is not one of RS256, /],
    [`oidc: {${provider}, requiredClaims: {a: b, c: d}}`, /there are 2 claims, but khw supports one/],
    [`oidc: {${provider}, usernamePrefix: "a b"}`, /oidc\.usernamePrefix: "a b" is empty, or has spaces/],
    [`oidc: {${provider}, caFile: absent.pem}`, /^oidc\.caFile: .*absent\.pem cannot be read: ENOENT/],
    [`oidc: {${provider}, caFile: khw.yaml}`, /^oidc\.caFile: .*khw\.yaml contains no certificate in PEM format/],
    [`oidc: {${provider}, clientID: a}`, /oidc\.clientID: there is no such key/],
    [
      "oidc: {issuerUrl: https://203.0.113.1:6443, clientId: b}",
      /^oidc\.issuerUrl: .* is the issuer of the service accounts' tokens/,
    ],
    [
      `oidc: {${provider}}\nkubernetes: {flags: {kube-apiserver: {authentication-config: /a}}}`,
      /^oidc and the flag authentication-config of kube-apiserver cannot be used together/,
    ],
  ];
  for (const [text, message] of cases) await t.rejects(read(text), { code: "CONFIG_INVALID", message }, text);
  await writeFile(join(folder, "damaged.pem"), "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n");
  await t.rejects(read(`oidc: {${provider}, caFile: damaged.pem}`), { message: /damaged certificate \(number 1\)/ });
});

t.test("a leftover oidc flag is refused, because the flag would disable some of the settings", async (t) => {
  for (const flag of ["oidc-issuer-url: https://b", "oidc-issuer-url: null", "oidc-required-claim: null"]) {
    const text = `oidc: {${provider}, requiredClaims: {hd: a}}\nkubernetes: {flags: {kube-apiserver: {${flag}}}}`;
    const [name = ""] = flag.split(":");
    await t.rejects(read(text), {
      code: "CONFIG_INVALID",
      message: `oidc and the flag ${name} of kube-apiserver cannot be used together`,
      hint: `remove ${name} from kubernetes.flags`,
    });
  }
});
