import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";
import t from "tap";
import { loadConfig } from "../../../../client/config/load.ts";
import { readKeySet } from "../../../../client/enrolment/jwks.ts";
import { verifyIdentityToken } from "../../../../client/enrolment/token.ts";
import { createTokenKey, instance } from "../../../fixtures/identity-token.ts";
import { never } from "../../../fixtures/machine.ts";

const google = await createTokenKey();
const audience = "urn:khw:enrol:v1:00";
const folder = t.testdir();

t.test("the identity keys are read from a URL or a file", async (t) => {
  let status = 200;
  let body = JSON.stringify(google.jwks);
  const server = createServer((_, response) => response.writeHead(status).end(body)).listen(0, "127.0.0.1");
  t.teardown(() => server.close());
  await once(server, "listening");
  const address = server.address();
  const url = `http://127.0.0.1:${typeof address === "object" ? address?.port : 0}/certs`;
  const file = join(folder, "jwks.json");
  await writeFile(file, body);
  for (const source of [url, file]) {
    const keys = await readKeySet(source, never);
    await verifyIdentityToken(await google.sign({ audience }), keys, { ...instance, audience });
  }
  body = "{}";
  await t.rejects(readKeySet(url, never), { code: "CREDENTIAL_INVALID", message: /is not a JSON Web Key Set/ });
  body = "x".repeat(300_000);
  await t.rejects(readKeySet(url, never), { code: "UNREACHABLE" }, "khw stops reading a response that does not end");
  status = 500;
  await t.rejects(readKeySet(url, never), { code: "UNREACHABLE" });
  await t.rejects(readKeySet(join(folder, "none"), never), { code: "IO_FAILED" });
});

t.test("a URL for the identity keys must use https", async (t) => {
  const load = (source: string) =>
    loadConfig({ flags: new Map([["--identity-jwks", source]]), folder, env: {}, file: undefined });
  for (const source of ["http://keys.example.com/certs", "ftp://keys.example.com", "http://127.0.0.1.example.com/"]) {
    await t.rejects(load(source), { code: "INVALID_ARGUMENT", message: /is not an https URL/ }, source);
  }
  t.equal((await load("keys.json")).enrolment.jwks, join(folder, "keys.json"));
  t.equal((await load("https://keys.example.com/certs")).enrolment.jwks, "https://keys.example.com/certs");
});
