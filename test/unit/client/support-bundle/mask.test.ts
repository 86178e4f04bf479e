import { execFileSync } from "node:child_process";
import { createHash, generateKeyPairSync, randomBytes } from "node:crypto";
import t from "tap";
import { lineMasker, mask, maskData } from "../../../../client/support-bundle/mask.ts";
import { createTail } from "../../../../client/support-bundle/tail.ts";

const ec = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;
const keys: Readonly<Record<string, string>> = {
  "PKCS #8 RSA": rsa.export({ type: "pkcs8", format: "pem" }).toString(),
  "PKCS #1 RSA": rsa.export({ type: "pkcs1", format: "pem" }).toString(),
  "SEC 1 EC": ec.export({ type: "sec1", format: "pem" }).toString(),
  "PKCS #8 EC": ec.export({ type: "pkcs8", format: "pem" }).toString(),
  "PKCS #8 Ed25519": generateKeyPairSync("ed25519").privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
  encrypted: rsa.export({ type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "open sesame" }).toString(),
};

/** Returns the lines of a key between its BEGIN and END lines. */
function bodyOf(pem: string): string[] {
  return pem.split("\n").filter((line) => line !== "" && !line.startsWith("-----"));
}

function holdsNone(text: string, secrets: readonly string[]): string[] {
  return secrets.filter((secret) => text.includes(secret));
}

const prefix = "2026-11-23T22:45:35.000Z kube-apiserver[411] <6> ";

for (const [kind, pem] of Object.entries(keys)) {
  t.test(`a private key is masked: ${kind}`, async (t) => {
    const body = bodyOf(pem);
    const forms: Readonly<Record<string, string>> = {
      "as in a file": `before\n${pem}after`,
      "each line of the key has a journal's prefix": pem
        .trimEnd()
        .split("\n")
        .map((line) => prefix + line)
        .join("\n"),
      "lines of another process separate the lines of the key": pem
        .trimEnd()
        .split("\n")
        .join("\nI1123 reflector.go:255] Listing, and so on...\n"),
      "the key is on one line, as in JSON": JSON.stringify({ key: pem }),
      "the key is in a quoted log line": `${prefix}failed: ${JSON.stringify(`cannot parse ${pem}`)}`,
      "indented in YAML": `key: |\n${pem.replaceAll(/^/gm, "    ")}`,
    };
    for (const [form, text] of Object.entries(forms)) {
      const masked = mask(text);
      t.strictSame(holdsNone(masked, body), [], form);
      t.match(masked, "[masked: private key]", form);
      t.equal(mask(masked), masked, `${form}: masking twice changes nothing`);
    }
    t.match(mask(`before\n${pem}after`), /^before\n\[masked: private key\]\nafter$/);
    const encoded = Buffer.from(pem).toString("base64");
    const kubeconfig = `users:\n- user:\n    client-key-data: ${encoded}\n    name: x`;
    t.equal(mask(kubeconfig), "users:\n- user:\n    client-key-data: [masked: secret]\n    name: x");
    t.notMatch(mask(`it read ${encoded} there`), encoded.slice(0, 24));
    t.strictSame(
      holdsNone(
        mask(body.map((line) => prefix + line).join("\n")),
        body.filter((line) => line.length === 64),
      ),
      [],
    );
  });
}

t.test("the lines of a truncated key are masked, and the lines after the key are kept", async (t) => {
  const lines = bodyOf(keys["PKCS #8 RSA"] ?? "");
  const text = [
    "-----BEGIN PRIVATE KEY-----",
    ...lines.slice(0, 3),
    ...Array.from({ length: 60 }, () => "a line. Of words..."),
  ];
  t.match(mask(text.join("\n")), /^\[masked: private key\]\n(a line\. Of words\.\.\.\n?){60}$/);
});

const token = `${Buffer.from('{"alg":"RS256","kid":"x"}').toString("base64url")}.${Buffer.from('{"iss":"kubernetes/serviceaccount"}').toString("base64url")}.${randomBytes(256).toString("base64url")}`;
const secret = randomBytes(32).toString("base64");
const secrets: readonly (readonly [what: string, text: string, secret: string])[] = [
  ["a service account's JWT", `token was ${token}, it seems`, token.slice(0, 40)],
  [
    "the signature of a JWT is masked even without the other parts",
    `signature ${token.split(".")[2] ?? ""}`,
    (token.split(".")[2] ?? "").slice(10, 60),
  ],
  ["a bearer token", "curl -H 'X: Bearer abcDEF0123456789'", "abcDEF0123456789"],
  ["an Authorization header", "Authorization: Basic dXNlcjpwYXNz", "dXNlcjpwYXNz"],
  ["an Authorization header with a custom scheme is masked", "authorization: Negotiate zzz yyy", "zzz"],
  ["an encryption key", `      secret: ${secret}`, secret],
  ["an encryption key in the middle of a sentence is masked", `bad key ${secret} in it`, secret],
  ["a short encryption key", `bad key ${randomBytes(16).toString("base64")}`, "=="],
  ["a password", 'password="hunter2 and more"', "hunter2"],
  ["a password in JSON", '{"db_password":"hunter2"}', "hunter2"],
  ["a token in YAML", "    token: s3cr3t", "s3cr3t"],
  ["a flag's secret", "--client-secret=s3cr3t", "s3cr3t"],
  ["the user and the password in a URL are masked", "proxy http://user:pa55@proxy:3128/x", "pa55"],
  ["a user without a password in a URL is masked", "https://ghp123456@github.com/x", "ghp123456"],
  ["a Google access token", "ya29.a0AfH6SMBx-y_z", "a0AfH6SMBx"],
  ["a Google refresh token", "1//0gabcdefghijklmnopqrstuv", "0gabcdefgh"],
  ["a Google API key", `AIza${"Sy".repeat(18)}`, "SySySy"],
  ["an AWS key", "AKIAIOSFODNN7EXAMPLE", "IOSFODNN7"],
  ["an AWS secret key", "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "wJalrXUtnFEMI"],
  ["a bootstrap token", "abcdef.0123456789abcdef", "0123456789abcdef"],
];

for (const [what, text, hidden] of secrets) {
  t.test(what, async (t) => {
    const masked = mask(text);
    t.notOk(masked.includes(hidden), masked);
    t.match(masked, /\[masked: /);
    t.equal(mask(masked), masked, "masking twice changes nothing");
  });
}

t.test("text without secrets is unchanged", async (t) => {
  const harmless = [
    createHash("sha256").update("x").digest("hex"),
    "I1123 22:45:35.000000 1 reflector.go:255] Listing and watching *v1.Secret from k8s.io/client-go/informers",
    "--tls-cipher-suites=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 --authorization-mode=Node,RBAC",
    "--service-account-signing-key-file=/var/lib/kubernetes/service-account-key.pem",
    "https://10.240.0.10:2379,https://10.240.0.11:2379",
    "projects/khw-testbed/regions/us-west1/forwardingRules/kubernetes-forwarding-rule",
    "basic authentication is off; a bearer token is needed",
  ];
  for (const line of harmless) t.equal(mask(line), line);
});

t.test("in structured data, a value is also masked if the name of its field indicates a secret", async (t) => {
  const masked = maskData({
    token: "x",
    list: [{ accessToken: "y", port: 1 }],
    proxy: "http://a:b@c",
    none: null,
    on: true,
  });
  t.strictSame(masked, {
    token: "[masked: secret]",
    list: [{ accessToken: "[masked: secret]", port: 1 }],
    proxy: "http://[masked: user and password]@c",
    none: null,
    on: true,
  });
});

t.test("many long lines are masked in little time", async (t) => {
  const lines = [
    "a-".repeat(24_000),
    "A1b".repeat(16_000),
    " ".repeat(48_000),
    "eyJ".repeat(16_000),
    "://".repeat(16_000),
  ];
  const began = performance.now();
  for (const line of lines) mask(line);
  const masked = lineMasker();
  for (let index = 0; index < 20_000; index++) masked(`${prefix}GET /api/v1/namespaces/kube-system/endpoints ${index}`);
  t.comment(`${Math.round(performance.now() - began)} ms`);
  t.ok(performance.now() - began < 5_000);
});

t.test("the newest lines of a long text are kept, without the lines of a key", async (t) => {
  const tail = createTail(100);
  for (const line of (keys["SEC 1 EC"] ?? "").trimEnd().split("\n")) tail.add(line);
  for (let index = 0; index < 1_000; index++) tail.add(`line ${index}`);
  const text = tail.text();
  t.match(text, /^\[\d+ older lines were left out\]\n/);
  t.match(text, /line 998\nline 999\n$/);
  t.ok(Buffer.byteLength(text) < 160);
});

t.test("a private key generated by openssl is masked", async (t) => {
  const pem = execFileSync("openssl", ["genrsa", "2048"], { stdio: ["ignore", "pipe", "ignore"] }).toString();
  t.equal(mask(pem), "[masked: private key]\n");
});
