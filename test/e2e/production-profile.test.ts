/** Runs the real etcd and Kubernetes with the flags and files of the production profile, and checks the effects. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import t from "tap";

import { componentCommand } from "../../agent/render/components.ts";
import { etcdCommand } from "../../agent/render/etcd.ts";
import { renderSchedulerConfig } from "../../agent/render/kube-scheduler.ts";
import { toDesired } from "../../client/config/desired.ts";
import { parseConfig } from "../../client/config/load.ts";
import { parseYaml } from "../../client/config/yaml.ts";
import { configFile } from "../../proto/config-files.ts";
import { type DesiredState, parseDesiredState } from "../../proto/desired.ts";
import { complete, formCluster } from "../fixtures/credential-forms.ts";
import { anonymousRole } from "../../proto/rbac.ts";
import { labState } from "../fixtures/lab-cluster.ts";
import { given } from "../fixtures/given.ts";
import { openStage, type RunningProgram, type Stage } from "../fixtures/real-programs/stage.ts";
import { prepare } from "../testbed/prepare.ts";

const [address] = formCluster.controllers.map(({ internalIp }) => internalIp);
const api = "https://127.0.0.1:6443";
const secret = "not-to-be-recorded";
const identity = ["--cert", "/var/lib/kubernetes/admin.pem", "--key", "/var/lib/kubernetes/admin-key.pem"];

t.test("the Kubernetes 1.20.2 programs run with the production profile", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "khw-profile-"));
  t.teardown(() => rm(folder, { recursive: true }));
  await complete(folder);
  const prepared = await prepare("bookworm");
  await using stage = await openStage({ ...prepared, credentials: folder, address: address ?? "" });
  const desired = await desiredState(join(folder, "ca.pem"));
  await startAll(stage, desired);

  const curl = (...args: readonly string[]) => stage.run(["curl", "--silent", "--insecure", ...args]);
  const secrets = `${api}/api/v1/namespaces/default/secrets`;
  const body = JSON.stringify({ metadata: { name: "mine" }, stringData: { key: secret } });
  // The API server creates the namespace only after it is ready.
  await given("the API server has created its namespace default", async () =>
    (await curl(...identity, "--fail", `${api}/api/v1/namespaces/default`)).code === 0 ? true : undefined,
  );
  const create = ["--fail-with-body", "--header", "Content-Type: application/json", "--data", body];
  const created = await curl(...identity, ...create, secrets);
  t.equal(created.code, 0, created.stdout);
  await curl(`${api}/healthz`);

  await t.test(
    "the audit log records reads of a Secret without the contents, and records no health checks or lease renewals",
    async (t) => {
      const read = await curl(...identity, `${secrets}/mine`);
      const encoded = Buffer.from(secret).toString("base64");
      t.match(read.stdout, encoded);
      const lines = (await stage.run(["cat", "/var/log/audit.log"])).stdout.trim().split("\n");
      const count = (words: RegExp) => lines.filter((line) => words.test(line)).length;
      t.equal(count(/"level":"Metadata".*"verb":"get".*"username":"admin".*"resource":"secrets".*"name":"mine"/), 1);
      t.equal(count(new RegExp(`${secret}|${encoded}|requestObject|responseObject`)), 0);
      t.equal(count(/"requestURI":"\/(healthz|livez|readyz)/), 0);
      t.equal(count(/"verb":"update".*"resource":"leases"/), 0);
    },
  );

  await t.test("ports without TLS and ports on non-loopback addresses are closed, and profiling is off", async (t) => {
    t.equal((await curl("http://127.0.0.1:10252/healthz")).code, 7, "the controller manager's old port is closed");
    t.equal(
      (await curl(`http://${address}:10251/healthz`)).code,
      7,
      "the scheduler's old port is closed at the node's address",
    );
    for (const port of [10257, 10259]) {
      t.equal((await curl(`https://127.0.0.1:${port}/healthz`)).stdout, "ok");
      t.equal(
        (await curl(`https://${address}:${port}/healthz`)).code,
        7,
        `port ${port} is closed at the node's address`,
      );
    }
    t.match((await curl("http://127.0.0.1:10251/debug/pprof/")).stdout, "404");
    t.not((await curl("--fail", ...identity, `${api}/debug/pprof/`)).code, 0);
  });

  await t.test("every port accepts only TLS 1.2 or later with strong cipher suites", async (t) => {
    const weak = ["--tls-max", "1.2", "--ciphers", "AES128-SHA:ECDHE-RSA-AES128-SHA:ECDHE-ECDSA-AES128-SHA"];
    const strong = ["--tls-max", "1.2", "--ciphers", "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES256-GCM-SHA384"];
    for (const port of [6443, 2379, 10257, 10259]) {
      const url = `https://127.0.0.1:${port}/`;
      t.equal((await curl(...identity, "--tls-max", "1.1", url)).code, 35, `port ${port} refuses TLS 1.1`);
      t.equal((await curl(...identity, ...weak, url)).code, 35, `port ${port} refuses a weak cipher suite`);
      t.equal((await curl(...identity, ...strong, url)).code, 0, `port ${port} accepts a strong cipher suite`);
    }
  });

  await t.test("alpha APIs are not served", async (t) => {
    const { stdout } = await curl(...identity, `${api}/apis`);
    t.match(stdout, "rbac.authorization.k8s.io/v1");
    t.notMatch(stdout, "alpha");
  });

  await t.test("anonymous requests are allowed only for the health paths, even after a restart", async (t) => {
    const anonymous = async (): Promise<Record<string, string>> => {
      const paths = ["/healthz", "/livez", "/readyz", "/version", "/api"];
      const status = ["--output", "/dev/null", "--write-out", "%{http_code}"];
      const answers = paths.map(async (path) => [path, (await curl(...status, `${api}${path}`)).stdout] as const);
      return Object.fromEntries(await Promise.all(answers));
    };
    const limited = { "/healthz": "200", "/livez": "200", "/readyz": "200", "/version": "403", "/api": "403" };
    const apply = async (rules: "limited" | "default"): Promise<void> => {
      const { path, object } = anonymousRole(rules);
      const patch = ["--request", "PATCH", "--header", "Content-Type: application/apply-patch+yaml"];
      const url = `${api}${path}?fieldManager=khw&force=true`;
      await curl("--fail", ...identity, ...patch, "--data", JSON.stringify(object), url);
    };
    const become = (wanted: Record<string, string>) =>
      given("the changed role is in effect", async () =>
        JSON.stringify(await anonymous()) === JSON.stringify(wanted) ? true : undefined,
      );
    t.strictSame(await anonymous(), { ...limited, "/version": "200" }, "the default of Kubernetes");
    await apply("limited");
    t.ok(await become(limited));
    await restartApiServer(stage, desired);
    t.strictSame(
      await anonymous(),
      limited,
      "a restarted API server does not allow anonymous requests for /version again",
    );
    t.match(
      (await curl(...identity, `${api}/version`)).stdout,
      "gitVersion",
      "authenticated users keep access to /version",
    );
    await apply("default");
    t.ok(await become({ ...limited, "/version": "200" }));
  });

  await t.test("the API server accepts the settings for an OpenID Connect provider", async (t) => {
    const flags = (await stage.run(["sh", "-c", "tr '\\0' '\\n' </proc/$(pidof kube-apiserver)/cmdline"])).stdout;
    t.match(flags, "--oidc-ca-file=/etc/kubernetes/config/oidc-ca.pem\n");
    t.match(flags, "--oidc-required-claim=hd=example.com\n");
    const { stdout } = await curl("--header", "Authorization: Bearer a.b.c", `${api}/version`);
    t.match(stdout, '"code": 401', "an invalid token is refused");
  });
});

async function desiredState(ca: string): Promise<DesiredState> {
  const oidc = `{issuerUrl: https://login.example.com, clientId: a, usernamePrefix: "a:", groupsClaim: groups, groupsPrefix: "a:", caFile: ${ca}, requiredClaims: {hd: example.com}, signingAlgs: [RS256, ES256]}`;
  const text = `profile: production\naggregation: false\noidc: ${oidc}\n`;
  const written = parseYaml(text, { name: "khw.yaml", folder: "/" });
  const config = parseConfig(written, { flags: new Map(), folder: "/" });
  const { controllers, publicAddress } = formCluster;
  const releases = { kubernetes: "v1.20.2", etcd: "v3.4.23" };
  const { credentials } = parseDesiredState(labState());
  const states = await toDesired(config, { controllers, publicAddress, releases }, credentials);
  return parseDesiredState(states.get("controller-0"));
}

async function startAll(stage: Stage, desired: DesiredState): Promise<void> {
  const put = (path: string, input: string) => stage.run(["tee", path], { input });
  for (const { name, content = "" } of desired.files)
    await put(configFile(name), Buffer.from(content).toString("utf8"));
  await put(configFile("kube-scheduler.yaml"), renderSchedulerConfig(desired));
  await until(stage.start(etcdCommand(desired)), /ready to serve client requests/);
  await until(stage.start(componentCommand("kube-apiserver", desired)), /Serving securely on/);
  const clients = ["kube-controller-manager", "kube-scheduler"] as const;
  await Promise.all(
    clients.map((client) => until(stage.start(componentCommand(client, desired)), /successfully acquired lease/)),
  );
}

async function restartApiServer(stage: Stage, desired: DesiredState): Promise<void> {
  await stage.run(["sh", "-c", "kill $(pidof kube-apiserver); while pidof kube-apiserver; do sleep 0.1; done"]);
  await until(stage.start(componentCommand("kube-apiserver", desired)), /Serving securely on/);
  await given("the API server is ready", async () =>
    (await stage.run(["curl", "--silent", "--insecure", `${api}/readyz`])).stdout === "ok" ? true : undefined,
  );
}

async function until(program: RunningProgram, words: RegExp): Promise<void> {
  if (!(await program.said(words))) throw new Error(`${program.name} ended: ${program.lines.slice(-5).join("\n")}`);
}
