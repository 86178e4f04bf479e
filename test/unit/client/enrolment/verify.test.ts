import { createHmac, X509Certificate } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t, { type Test } from "tap";
import { proveKey } from "../../../../agent/enrolment/request.ts";
import { type SignedAnswer, verifyAnswer } from "../../../../client/enrolment/verify.ts";
import { derOf, tokenAudience } from "../../../../proto/enrolment.ts";
import { claimsOf, createTokenKey, instance, type TokenOptions } from "../../../fixtures/identity-token.ts";

const folder = await mkdtemp(join(tmpdir(), "khw-verify-test-"));
t.teardown(() => rm(folder, { recursive: true }));
const paths = { ca: join(folder, "ca.pem"), certificate: join(folder, "a.pem"), key: join(folder, "a-key.pem") };
const { request, provisional } = await proveKey(paths, "controller-0");
const peer = new X509Certificate(provisional);
const google = await createTokenKey();
const nonce = Buffer.alloc(32, 7);
const audience = tokenAudience(nonce, derOf(request));

const token = (options: Partial<TokenOptions> = {}): Promise<string> => google.sign({ audience, ...options });
const verify = async (answer: Partial<SignedAnswer>, sent = nonce): Promise<unknown> =>
  verifyAnswer(
    { request, identityToken: await token(), peer, ...answer },
    { nonce: sent, keys: google.keys, instance },
  );

/** Encodes a part of a token without signing it, as a forger would. */
const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");

async function refuses(t: Test, identityToken: string | Promise<string>, message: RegExp): Promise<void> {
  const refused = verify({ identityToken: await identityToken });
  await t.rejects(refused, { code: "IDENTITY_MISMATCH", message, hint: /nothing was signed/ });
}

t.test("a response from the instance itself to the current challenge is accepted", async (t) => {
  t.match(await verify({}), { der: derOf(request) });
});

t.test("a token from another project is refused", async (t) => {
  await refuses(t, token({ engine: { project_id: "khw-other" } }), /its project is "khw-other" instead of khw-testbed/);
});

t.test("a token of another zone is refused", async (t) => {
  await refuses(t, token({ engine: { zone: "us-west1-b" } }), /its zone is "us-west1-b" instead of us-west1-c/);
});

t.test("a token of another instance is refused", async (t) => {
  await refuses(t, token({ engine: { instance_name: "controller-1" } }), /its instance is "controller-1"/);
});

t.test("a token of an earlier instance with the same name is refused", async (t) => {
  await refuses(t, token({ engine: { instance_id: "4710" } }), /its instance's number is "4710" instead of 4711/);
});

t.test("a token in the standard format is refused, because it has no claims about the instance", async (t) => {
  await refuses(t, token({ engine: { project_id: undefined } }), /its project is missing/);
});

t.test("a token for another audience is refused", async (t) => {
  await refuses(t, token({ audience: "https://vault.example.com" }), /unexpected "aud" claim value/);
});

t.test("a token for this audience and other audiences is refused", async (t) => {
  await refuses(t, token({ audience: [audience, "https://vault.example.com"] }), /also for other audiences/);
});

t.test("a token that was issued too long ago is refused, even if it has not expired", async (t) => {
  await refuses(t, token({ issuedIn: -600 }), /"iat" claim timestamp check failed \(too far in the past\)/);
});

t.test("an expired token is refused", async (t) => {
  await refuses(t, token({ issuedIn: -250, expiresIn: -120 }), /"exp" claim timestamp check failed/);
});

t.test("a token with an issue time in the future is refused", async (t) => {
  await refuses(t, token({ issuedIn: 600 }), /"iat" claim timestamp check failed \(it should be in the past\)/);
});

t.test("a clock difference of less than a minute is accepted", async (t) => {
  t.ok(await verify({ identityToken: await token({ issuedIn: 40 }) }));
});

t.test("a replayed response to an earlier nonce is refused", async (t) => {
  const replayed = verify({}, Buffer.alloc(32, 8));
  await t.rejects(replayed, { code: "IDENTITY_MISMATCH", message: /unexpected "aud" claim value/ });
});

t.test("a token for another request from the same instance is refused", async (t) => {
  const other = tokenAudience(nonce, Buffer.from("another request"));
  await refuses(t, token({ audience: other }), /unexpected "aud" claim value/);
});

t.test("a token from another issuer is refused", async (t) => {
  await refuses(t, token({ issuer: "https://accounts.example.com" }), /unexpected "iss" claim value/);
});

t.test("a token signed with a different key that has the same key ID is refused", async (t) => {
  const impostor = await createTokenKey();
  await refuses(t, impostor.sign({ audience }), /signature verification failed/);
});

t.test("a token signed with a key that Google has not published is refused", async (t) => {
  const impostor = await createTokenKey("impostor-1");
  await refuses(t, impostor.sign({ audience }), /no applicable key found/);
});

t.test("a token whose claims were changed after it was signed is refused", async (t) => {
  const [header, , signature] = (await token()).split(".");
  const claims = part(claimsOf({ audience, expiresIn: 7200 }));
  await refuses(t, `${header}.${claims}.${signature}`, /signature verification failed/);
});

t.test("a token without a signature (alg none) is refused", async (t) => {
  const claims = part(claimsOf({ audience }));
  await refuses(t, `${part({ alg: "none" })}.${claims}.`, /"alg" \(Algorithm\) Header Parameter value not allowed/);
});

t.test("a token signed with the public key as a shared secret (alg HS256) is refused", async (t) => {
  const signed = `${part({ alg: "HS256", kid: "google-1" })}.${part(claimsOf({ audience }))}`;
  const secret = String(google.jwks.keys[0]?.n);
  const mac = createHmac("sha256", secret).update(signed).digest("base64url");
  await refuses(t, `${signed}.${mac}`, /"alg" \(Algorithm\) Header Parameter value not allowed/);
});

t.test("a malformed token is refused", async (t) => {
  for (const garbage of ["", "garbage", "a.b.c"]) await refuses(t, garbage, /Invalid Compact JWS|JWS/);
});

t.test("a response from another machine is refused, because its connection uses a different key", async (t) => {
  const elsewhere = { ca: `${paths.ca}2`, certificate: `${paths.certificate}2`, key: `${paths.key}2` };
  const between = new X509Certificate((await proveKey(elsewhere, "controller-0")).provisional);
  await t.rejects(verify({ peer: between }), {
    code: "WRONG_NODE",
    message: /not made with the key of the signing request/,
    hint: /nothing was signed/,
  });
});

t.test("a request that was changed in transit is refused", async (t) => {
  const der = derOf(request);
  der.writeUInt8((der.at(-1) ?? 0) ^ 1, der.length - 1);
  const changed = `-----BEGIN CERTIFICATE REQUEST-----\n${der.toString("base64")}\n-----END CERTIFICATE REQUEST-----\n`;
  await t.rejects(verify({ request: changed }), { code: "CREDENTIAL_INVALID", message: /not signed with its own key/ });
});
