import { execFile } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { connect } from "node:net";
import { join } from "node:path";
import t from "tap";
import { bundle } from "../../packaging/bundle.ts";
import { listening } from "../fakes/mirror.ts";
import { issueFor } from "../fakes/tls.ts";

// The tests use the bundled client, because the bundle can fail even if the source code works. The client reaches
// Google through a proxy.
const folder = t.testdir({ gcloud: {}, home: {} });
await bundle("client", join(folder, "client"));
const google = await issueFor(folder, "DNS:*.googleapis.com");

const asked: { readonly host: string; readonly path: string; readonly authorization: string | undefined }[] = [];
const tunnels: string[] = [];

const googlePort = await listening(
  t,
  createTlsServer(google, (request, response) => {
    const { host = "", authorization } = request.headers;
    const path = request.url ?? "";
    asked.push({ host, path, authorization });
    const token = { access_token: `token-of-${host}`, expires_in: 3600, token_type: "Bearer" };
    const expireTime = new Date(Date.now() + 3_600_000).toISOString();
    if (path.endsWith("token"))
      answer({ ...token, issued_token_type: "urn:ietf:params:oauth:token-type:access_token" });
    else if (path.endsWith(":generateAccessToken")) answer({ accessToken: `token-of-${host}`, expireTime });
    else answer({ error: { code: 404, message: "not found", errors: [{ reason: "notFound" }] } }, 404);

    function answer(body: object, status = 200): void {
      response.writeHead(status, { "content-type": "application/json" });
      response.end(JSON.stringify(body));
    }
  }),
);

const proxy = createServer((_request, response) => response.writeHead(405).end());
proxy.on("connect", ({ url = "" }, client) => {
  tunnels.push(url);
  const upstream = connect(googlePort, "127.0.0.1", () => client.write("HTTP/1.1 200 Connection established\r\n\r\n"));
  upstream.pipe(client).pipe(upstream);
  upstream.on("error", () => client.destroy());
  client.on("error", () => upstream.destroy());
});
const proxyUrl = `http://127.0.0.1:${await listening(t, proxy)}`;

/**
 * Redirects every connection to the port of the fake Google, so that the client reaches the fake Google without a
 * proxy.
 */
const googleWithoutProxy = join(folder, "google.mjs");
await writeFile(
  googleWithoutProxy,
  `import tls from "node:tls";
  const { connect } = tls;
  tls.connect = (options, ...more) => connect({ ...options, host: "127.0.0.1", port: ${googlePort} }, ...more);`,
);

const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const user = { type: "authorized_user", client_id: "x", client_secret: "y", refresh_token: "z" };
const account = {
  type: "service_account",
  client_email: "khw@example-1.iam.gserviceaccount.com",
  private_key: privateKey.export({ type: "pkcs8", format: "pem" }),
};
const impersonate = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/khw@x:generateAccessToken";
const impersonated = {
  type: "impersonated_service_account",
  source_credentials: user,
  service_account_impersonation_url: impersonate,
};
const federated = {
  type: "external_account",
  audience: "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q",
  subject_token_type: "urn:ietf:params:oauth:token-type:jwt",
  token_url: "https://sts.googleapis.com/v1/token",
  credential_source: { file: join(folder, "subject") },
};
await Promise.all([
  writeFile(join(folder, "subject"), "a.b.c"),
  ...Object.entries({ user, account, impersonated, federated }).map(([name, content]) =>
    writeFile(join(folder, `${name}.json`), JSON.stringify(content)),
  ),
]);

interface Result {
  readonly code: number;
  readonly stderr: string;
}

function lbStatus(auth: string, env: Readonly<Record<string, string>>): Promise<Result> {
  const place = ["--project", "example-1", "--region", "us-west1", "--zone", "us-west1-b"];
  const argv = [join(folder, "client/main.mjs"), "lb", "status", "--nodes", "controller-0", ...place];
  const clean = { PATH: "/nowhere", HOME: join(folder, "home"), CLOUDSDK_CONFIG: join(folder, "gcloud") };
  const options = {
    cwd: folder,
    env: { ...clean, NODE_EXTRA_CA_CERTS: google.file, METADATA_SERVER_DETECTION: "none", ...env },
  };
  return new Promise((resolve) => {
    execFile(process.execPath, [...argv, "--gce-auth", auth], options, (error, _stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code), stderr }),
    );
  });
}

t.beforeEach(() => {
  asked.length = 0;
  tunnels.length = 0;
});

const oauth = "oauth2.googleapis.com";
const kinds: readonly [kind: string, auth: string, credentials: string | undefined, hosts: readonly string[]][] = [
  ["an authorized user", "auto", "user.json", [oauth]],
  ["a service account", "auto", "account.json", [oauth]],
  ["a service account's key file", "account.json", undefined, [oauth]],
  ["an impersonated service account", "auto", "impersonated.json", [oauth, "iamcredentials.googleapis.com"]],
  ["an account of another provider", "auto", "federated.json", ["sts.googleapis.com"]],
];
for (const [index, [kind, auth, credentials, hosts]] of kinds.entries()) {
  const variable = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY"][index % 3] ?? "";
  t.test(`${kind}: token and API requests use the proxy in ${variable}`, async (t) => {
    const file = credentials === undefined ? {} : { GOOGLE_APPLICATION_CREDENTIALS: join(folder, credentials) };
    const { code, stderr } = await lbStatus(auth, { [variable]: proxyUrl, ...file });
    t.equal(stderr, "");
    t.equal(code, 2, "the command exits with code 2 because the load balancer does not exist");
    const names = [...hosts, "compute.googleapis.com"];
    t.strictSame([...new Set(tunnels)].sort(), names.map((host) => `${host}:443`).sort());
    const api = asked.filter(({ host }) => host === "compute.googleapis.com");
    t.ok(api.length > 0);
    for (const { authorization } of api) t.equal(authorization, `Bearer token-of-${hosts.at(-1)}`);
  });
}

// Each of these NO_PROXY values exempts all of Google's hosts.
const exemptions = ["*", "googleapis.com", ".googleapis.com", "*.googleapis.com:443", "example.com googleapis.com"];
for (const [index, [kind, auth, credentials, hosts]] of kinds.entries()) {
  const exemption = exemptions[index] ?? "*";
  t.test(`${kind}: NO_PROXY=${exemption} bypasses the proxy`, async (t) => {
    const file = credentials === undefined ? {} : { GOOGLE_APPLICATION_CREDENTIALS: join(folder, credentials) };
    const env = { HTTPS_PROXY: proxyUrl, [index % 2 === 0 ? "NO_PROXY" : "no_proxy"]: exemption, ...file };
    const { code, stderr } = await lbStatus(auth, { ...env, NODE_OPTIONS: `--import=${googleWithoutProxy}` });
    t.equal(stderr, "");
    t.equal(code, 2, "the command exits with code 2 because the load balancer does not exist");
    t.same(tunnels, []);
    t.same([...new Set(asked.map(({ host }) => host))].sort(), [...hosts, "compute.googleapis.com"].sort());
  });
}

t.test("the error for an unreachable proxy shows its URL without the password", async (t) => {
  const env = { HTTPS_PROXY: "http://someone:s3cret@127.0.0.1:9" };
  for (const auth of ["auto", "none"]) {
    const { code, stderr } = await lbStatus(auth, {
      ...env,
      GOOGLE_APPLICATION_CREDENTIALS: join(folder, "impersonated.json"),
    });
    t.equal(code, 69);
    t.match(stderr, /ECONNREFUSED/);
    t.match(stderr, /hint: .*HTTPS_PROXY, http:\/\/127\.0\.0\.1:9, /);
    t.notMatch(stderr, /s3cret|undefined|not a constructor/);
  }
});

t.test("the error for a proxy URL without a scheme shows the correct form but not the password", async (t) => {
  const { code, stderr } = await lbStatus("auto", { https_proxy: "someone:s3cret@proxy.example:3128" });
  t.equal(code, 64);
  t.match(stderr, /https_proxy: "proxy\.example:3128" is not a proxy URL\nhint: .*https_proxy=http:\/\/HOST:PORT/);
  t.notMatch(stderr, /s3cret/);
});
