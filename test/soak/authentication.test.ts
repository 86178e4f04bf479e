/** Runs one controller that accepts tokens from an OpenID Connect provider and limits anonymous requests. */
import { createPrivateKey, createPublicKey, generateKeyPairSync, sign } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";

import t, { type Test } from "tap";

import { createAuthority, issue } from "../../client/pki/management/issue.ts";
import { fingerprint, openScene, type Scene, scenario } from "../fixtures/faults.ts";
import { given } from "../fixtures/given.ts";

const all = ["--nodes", "controller-0"];
const issuer = "https://localhost:9443";
const provider = ["--oidc-issuer-url", issuer, "--oidc-client-id", "kubernetes", "--oidc-ca-file", "login-ca.pem"];
const claims = ["--oidc-username-prefix", "oidc:", "--oidc-groups-claim", "groups", "--oidc-groups-prefix", "oidc:"];
const required = ["--oidc-required-claim", "hd=example.com"];
const production = ["--profile", "production"];
/** The expected status codes of anonymous requests for the health paths and for other paths. */
const limited = { "/healthz": "200", "/livez": "200", "/readyz": "200", "/version": "403", "/api": "403" };
const key = createPrivateKey(
  generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export({ type: "pkcs8", format: "pem" }),
);

t.test("a controller", async (t) => {
  await using scene = await openScene(1, "", { withEtcd: false });
  const { workstation, bootstrap, node } = scene;
  const made = await workstation.khw(["pki", "create", ...all, ...production]);
  t.equal(made.code, 0, made.stdout + made.stderr);
  await startProvider(scene);
  const first = await bootstrap(...production, ...provider, ...claims, ...required);
  t.equal(first.code, 0, first.stdout + first.stderr);

  await scenario(t, "anonymous requests reach only the health paths, even after a restart", async (t) => {
    t.match(first.stdout, "RBAC: system:public-info-viewer applied");
    await passes(t, scene);
    t.strictSame(await anonymous(scene), limited);
    await node(0).must(["systemctl", "restart", "kube-apiserver.service"]);
    await given("the API server is ready", async () =>
      (await anonymous(scene))["/readyz"] === "200" ? true : undefined,
    );
    t.strictSame(await anonymous(scene), limited, "the API server does not add the default rules again");
    const version = await workstation.kubectl(["version", "-o", "json"]);
    t.match(version.stdout, "gitVersion", "authenticated users can still read /version");
  });

  await scenario(t, "doctor reports a changed role, and the next bootstrap limits the role again", async (t) => {
    const role = "clusterrole/system:public-info-viewer";
    const rules = '[{"op": "add", "path": "/rules/0/nonResourceURLs/-", "value": "/version"}]';
    const patched = await workstation.kubectl(["patch", role, "--type=json", "-p", rules]);
    t.equal(patched.code, 0, patched.stderr);
    const found = await workstation.khw(["doctor", ...all, ...production]);
    t.match(found.stdout, /anonymous request for \/version with status 200/);
    const running = scene.begin(...production, ...provider, ...claims, ...required);
    await running.said(/./);
    running.kill();
    await running.ended;
    const again = await bootstrap(...production, ...provider, ...claims, ...required);
    t.equal(again.code, 0, again.stdout + again.stderr);
    t.strictSame(await anonymous(scene), limited);
  });

  await scenario(t, "the API server reads the user's name and groups from the provider's token", async (t) => {
    const jane = { sub: "jane", groups: ["readers"], hd: "example.com" };
    t.match(await ask(scene, jane), /403.*User \\"oidc:jane\\" cannot list/);
    const bound = await workstation.kubectl([
      "create",
      "clusterrolebinding",
      "readers",
      "--clusterrole=view",
      "--group=oidc:readers",
    ]);
    t.equal(bound.code, 0, bound.stderr);
    await given("the binding is in effect", async () =>
      (await ask(scene, jane)).startsWith("200") ? true : undefined,
    );
    t.match(await ask(scene, { ...jane, hd: "example.org" }), /^401/, "a token without the required claim is refused");
    t.match(await ask(scene, { ...jane, aud: "others" }), /^401/, "a token for another client is refused");
  });

  await scenario(t, "bootstrap refuses invalid settings, names each setting, and changes nothing", async (t) => {
    const before = await fingerprint(node(0));
    const cases: readonly (readonly [args: readonly string[], message: RegExp])[] = [
      [
        ["--oidc-issuer-url", "http://localhost:9443", "--oidc-client-id", "a"],
        /--oidc-issuer-url: .* does not use https/,
      ],
      [["--oidc-issuer-url", issuer], /oidc\.clientId is missing/],
      [[...provider, "--oidc-signing-alg", "HS256"], /--oidc-signing-alg: "HS256" is not one of/],
      [[...provider.slice(0, 4), "--oidc-ca-file", "absent.pem"], /oidc\.caFile: .*absent\.pem cannot be read: ENOENT/],
      [[...provider.slice(0, 4), "--oidc-ca-file", "khw.yaml"], /oidc\.caFile: .*khw\.yaml contains no certificate/],
      [
        [...provider, "--kube-apiserver-flag", "authentication-config=/a"],
        /oidc and the flag authentication-config of kube-apiserver cannot be used together/,
      ],
    ];
    for (const [args, message] of cases) {
      const { code, stderr } = await bootstrap(...production, ...args);
      t.not(code, 0);
      t.match(stderr, message);
    }
    t.equal(await fingerprint(node(0)), before);
  });

  await scenario(t, "a changed or removed CA is restored", async (t) => {
    const file = "/etc/kubernetes/config/oidc-ca.pem";
    const before = await node(0).must(["cat", file]);
    for (const damage of [`echo >>${file}`, `rm ${file}`]) {
      await node(0).must(["sh", "-c", damage]);
      await given(`the CA is restored after ${damage}`, async () =>
        (await node(0).run(["cat", file])).stdout === before ? true : undefined,
      );
    }
    t.pass("restored");
  });

  await scenario(t, "a return to the lab profile restores the Kubernetes default", async (t) => {
    const back = await bootstrap("--profile", "lab");
    t.equal(back.code, 0, back.stdout + back.stderr);
    t.match(await anonymous(scene), { "/healthz": "200", "/version": "200", "/api": "403" });
    const role = await workstation.kubectl(["get", "clusterrole", "system:public-info-viewer", "-o", "json"]);
    const { metadata, rules }: { metadata: { annotations: unknown }; rules: unknown } = JSON.parse(role.stdout);
    t.strictSame(metadata.annotations, {
      "khw/anonymous-requests": "default",
      "rbac.authorization.kubernetes.io/autoupdate": "true",
    });
    t.strictSame(rules, [
      { nonResourceURLs: ["/healthz", "/livez", "/readyz", "/version", "/version/"], verbs: ["get"] },
    ]);
    t.match(await ask(scene, { sub: "jane", hd: "example.com" }), /^401/, "tokens from the provider are refused");
    t.notMatch(await node(0).must(["ls", "/etc/kubernetes/config"]), "oidc-ca.pem");
    t.notMatch(await node(0).must(["cat", "/etc/systemd/system/kube-apiserver.service"]), "oidc");
  });
});

async function passes(t: Test, { workstation }: Scene): Promise<void> {
  const [verified, examined] = [
    await workstation.khw(["verify", ...all, ...production]),
    await workstation.khw(["doctor", ...all, ...production]),
  ];
  t.equal(verified.code, 0, verified.stdout + verified.stderr);
  t.match(verified.stdout, "anonymous requests reach only the health paths");
  t.notMatch(examined.stdout, "anonymous requests reach", examined.stdout + examined.stderr);
}

/** Returns the status codes of anonymous requests through the load balancer. */
async function anonymous({ testbed }: Scene): Promise<Record<string, string>> {
  const answers = Object.keys(limited).map(async (path) => {
    const url = `https://${testbed.publicAddress}:6443${path}`;
    const { stdout } = await testbed.run(["curl", "-sk", "-o", "/dev/null", "-w", "%{http_code}", url]);
    return [path, stdout] as const;
  });
  return Object.fromEntries(await Promise.all(answers));
}

/** Lists namespaces with a token from the provider. Returns the status code and the answer. */
async function ask({ node }: Scene, given: Record<string, unknown>): Promise<string> {
  const now = Math.floor(Date.now() / 1000);
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const payload = { iss: issuer, aud: "kubernetes", iat: now, exp: now + 600, ...given };
  const signed = `${part({ alg: "RS256", kid: "one" })}.${part(payload)}`;
  const token = `${signed}.${sign("sha256", Buffer.from(signed), key).toString("base64url")}`;
  const url = "https://127.0.0.1:6443/api/v1/namespaces";
  const script = `curl -sk -w '%{http_code}' -o /tmp/answer -H 'Authorization: Bearer ${token}' ${url}; cat /tmp/answer`;
  return (await node(0).run(["sh", "-c", script])).stdout.replaceAll("\n", " ");
}

/** Serves a provider's discovery pages on the controller, with a certificate from a separate CA. */
async function startProvider({ workstation, node }: Scene): Promise<void> {
  const now = new Date();
  const authority = await createAuthority(now);
  const server = await issue(authority, { name: "localhost", role: "agent", days: 1 }, now);
  await writeFile(join(workstation.folder, "login-ca.pem"), authority.certificate);
  const jwk = { ...createPublicKey(key).export({ format: "jwk" }), kid: "one", use: "sig", alg: "RS256" };
  const pages = {
    "/.well-known/openid-configuration": { issuer, jwks_uri: `${issuer}/keys` },
    "/keys": { keys: [jwk] },
  };
  const program = `
const pages = ${JSON.stringify(pages)};
const identity = ${JSON.stringify({ cert: server.certificate, key: server.key })};
require("node:https").createServer(identity, ({ url }, answer) => {
  answer.writeHead(url in pages ? 200 : 404, { "content-type": "application/json" }).end(JSON.stringify(pages[url] ?? {}));
}).listen(9443);
`;
  const encoded = Buffer.from(program).toString("base64");
  await node(0).must(["sh", "-c", `echo ${encoded} | base64 -d >/root/provider.cjs`]);
  await node(0).must(["systemd-run", "--unit=provider", "/usr/lib/khw-agent/node", "/root/provider.cjs"]);
  await given("the provider answers", async () =>
    (await node(0).run(["curl", "-sk", `${issuer}/keys`])).code === 0 ? true : undefined,
  );
}
