import { once } from "node:events";
import { chmod, readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";
import t from "tap";
import { openCredentials } from "../../../../client/gce/credentials.ts";

const { signal } = new AbortController();
const folder = t.testdir({});
const system = process.env["PATH"] ?? "";

// The library and gcloud use environment variables to find credentials. Neither of them may find the credentials of
// this machine's owner.
Object.assign(process.env, { HOME: folder, CLOUDSDK_CONFIG: folder, NO_PROXY: "*", METADATA_SERVER_DETECTION: "none" });
delete process.env["GOOGLE_APPLICATION_CREDENTIALS"];

/** Installs a fake gcloud that records its arguments and environment. */
async function installGcloud(script: string): Promise<void> {
  const program = join(folder, "gcloud");
  await writeFile(program, `#!/bin/sh\necho "$*" >> ${folder}/calls\nenv >> ${folder}/calls\n${script}\n`);
  await chmod(program, 0o755);
  process.env["PATH"] = `${folder}:${system}`;
}

t.afterEach(() => {
  process.env["PATH"] = system;
  process.env["METADATA_SERVER_DETECTION"] = "none";
});

t.test("with credentials set to none, no authorization header is sent", async (t) => {
  t.strictSame(await openCredentials("none", "lab")(signal), {});
});

t.test("gcloud's token is requested only once and never passed to another program", async (t) => {
  await installGcloud("echo ya29.secret");
  const credentials = openCredentials("gcloud", "lab");
  for (const _ of [1, 2]) t.strictSame(await credentials(signal), { authorization: "Bearer ya29.secret" });
  const calls = await readFile(join(folder, "calls"), "utf8");
  t.equal(calls.match(/auth print-access-token/g)?.length, 1);
  t.notMatch(calls, /secret/);
});

t.test("if gcloud is missing or has no login, the error includes a remedy", async (t) => {
  await installGcloud("echo 'ERROR: You do not currently have an active account selected.' >&2; exit 1");
  const expected = { code: "COMPUTE_FAILED", hint: /gcloud auth application-default login/ };
  await t.rejects(openCredentials("gcloud", "lab")(signal), { ...expected, message: /active account selected/ });
  process.env["PATH"] = t.testdir({});
  await t.rejects(openCredentials("gcloud", "lab")(signal), { ...expected, message: /ENOENT/ });
});

t.test(
  "with credentials set to auto, gcloud's token is used if there are no application default credentials",
  async (t) => {
    await installGcloud("echo ya29.gcloud");
    t.strictSame(await openCredentials("auto", "lab")(signal), { authorization: "Bearer ya29.gcloud" });
  },
);

t.test(
  "with credentials set to auto, application default credentials are used, for example the machine's own credentials",
  async (t) => {
    const metadata = createServer((request, response) => {
      const granted = request.headers["metadata-flavor"] === "Google" && request.url?.includes("/token");
      response.writeHead(granted ? 200 : 404, { "metadata-flavor": "Google", "content-type": "application/json" });
      response.end(JSON.stringify({ access_token: "ya29.machine", expires_in: 3600, token_type: "Bearer" }));
    });
    metadata.listen(0, "127.0.0.1");
    await once(metadata, "listening");
    t.teardown(() => metadata.close());
    const address = metadata.address();
    process.env["GCE_METADATA_HOST"] = `127.0.0.1:${typeof address === "object" ? address?.port : ""}`;
    process.env["METADATA_SERVER_DETECTION"] = "assume-present";
    t.match(await openCredentials("auto", "lab")(signal), { authorization: "Bearer ya29.machine" });
  },
);

t.test("an invalid service account key file is refused without showing its content", async (t) => {
  const key = { type: "service_account", client_email: "khw@lab.iam.gserviceaccount.com", private_key: "s3cret" };
  const cases: [content: string, message: RegExp][] = [
    ['{"private_key": "s3cret', /key\.json: it is not JSON/],
    [JSON.stringify({ ...key, type: "authorized_user" }), /it is not a service account's key file/],
    [JSON.stringify({ ...key, client_email: 7 }), /it is not a service account's key file/],
    [JSON.stringify(key), /no credentials for the Compute Engine API/],
  ];
  const file = join(folder, "key.json");
  await t.rejects(openCredentials(file, "lab")(signal), { code: "COMPUTE_FAILED", message: /ENOENT/ });
  for (const [content, message] of cases) {
    await writeFile(file, content);
    const error: unknown = await openCredentials(file, "lab")(signal).catch((error: unknown) => error);
    t.match(error, { code: "COMPUTE_FAILED", message });
    t.notMatch(error instanceof Error ? error.message : "", /s3cret/);
  }
});

t.test("a token request is aborted by the signal", async (t) => {
  await installGcloud("exec sleep 60");
  const abort = new AbortController();
  setTimeout(() => abort.abort(new Error("detached")), 100);
  const start = performance.now();
  await t.rejects(openCredentials("gcloud", "lab")(abort.signal));
  t.ok(performance.now() - start < 5000);
});
