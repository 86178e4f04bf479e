import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { readConfigFiles } from "../../../../../client/config/files/own.ts";
import { loadConfig } from "../../../../../client/config/load.ts";
import { createAuthority } from "../../../../../client/pki/management/issue.ts";

const folder = await mkdtemp(join(tmpdir(), "khw-structured-"));
t.teardown(() => rm(folder, { recursive: true }));
const write = (name: string, text: string) => writeFile(join(folder, name), text);

async function read(text: string, kubernetes = "v1.34.0", emulated?: string) {
  await write("khw.yaml", text);
  const config = await loadConfig({ flags: new Map(), folder, env: { HOME: folder } });
  const { files, flags } = await readConfigFiles(config, {
    releases: { kubernetes, emulated },
    publicAddress: "203.0.113.1",
  });
  return { flags, names: files.map(({ name }) => name), text: files.map(({ content }) => String(content)).join("") };
}

const users = "authentication: {config: users.yaml}\n";
const chain = "authorization: {config: chain.yaml}\n";
const limit = "hardening: {anonymousLimited: true}\n";

t.test("an authentication configuration becomes a file and a flag", async (t) => {
  await write("users.yaml", "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\njwt: []\n");
  const { names, flags } = await read(users);
  t.strictSame(names, ["authentication.yaml"]);
  t.strictSame(flags, { "authentication-config": "/etc/kubernetes/config/authentication.yaml" });
  await t.rejects(read(users, "v1.29.0"), {
    code: "CONFIG_INVALID",
    message: /^authentication\.config needs Kubernetes 1\.30 or later, but the programs behave like 1\.29$/,
    hint: /oidc/,
  });
  await t.rejects(read(users, "v1.30.0", "1.29"), { message: /behave like 1\.29/ });
  await t.rejects(read("authentication: {config: absent}"), {
    message: /^authentication\.config: .*absent cannot be read/,
  });
  await write(
    "users.yaml",
    "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\nanonymous: {enabled: true}\n",
  );
  await t.rejects(read(`${users}kubernetes: {flags: {kube-apiserver: {anonymous-auth: true}}}`), {
    message: /^the field anonymous of authentication\.config and the flag anonymous-auth of kube-apiserver cannot/,
  });
});

t.test("mutually exclusive settings are refused", async (t) => {
  const flag = (name: string) => `kubernetes: {flags: {kube-apiserver: {${name}: a}}}`;
  await t.rejects(read(`${users}oidc: {clientId: a}`), {
    code: "CONFIG_INVALID",
    message: /^authentication\.config and the settings of oidc cannot be used together/,
  });
  await t.rejects(read(users + flag("oidc-client-id")), {
    message: /^authentication\.config and the flag oidc-client-id/,
  });
  for (const [text, setting, name] of [
    [users, "authentication", "authentication-config"],
    [chain, "authorization", "authorization-config"],
  ] as const)
    for (const value of ["a", "null"])
      await t.rejects(read(text + flag(name).replace(": a}", `: ${value}}`)), {
        message: `${setting}.config and the flag ${name} of kube-apiserver cannot be used together`,
      });
  await t.rejects(read(chain + flag("authorization-mode")), {
    message: /^authorization\.config and the flag authorization-mode of kube-apiserver cannot/,
    hint: "remove authorization-mode from kubernetes.flags",
  });
});

t.test(
  "from Kubernetes 1.32 on, a file limits anonymous requests unless another setting configures authentication",
  async (t) => {
    t.strictSame((await read(limit, "v1.32.0")).names, ["authentication.yaml"]);
    t.match((await read(limit)).text, "apiserver.config.k8s.io/v1\n");
    const none: readonly (readonly [text: string, version: string, emulated?: string])[] = [
      [limit, "v1.31.0"],
      [limit, "v1.32.0", "1.31"],
      [`${limit}oidc: {issuerUrl: https://a, clientId: b}`, "v1.34.0"],
      [`${limit}kubernetes: {flags: {kube-apiserver: {anonymous-auth: true}}}`, "v1.34.0"],
      [`${limit}kubernetes: {flags: {kube-apiserver: {authentication-config: /a}}}`, "v1.34.0"],
    ];
    for (const one of none) t.strictSame((await read(...one)).names, []);
  },
);

t.test(
  "an authorization configuration replaces the authorization modes, and is sent with all files that it needs",
  async (t) => {
    const hook =
      "webhook: {timeout: 3s, subjectAccessReviewVersion: v1, failurePolicy: Deny, connectionInfo: {type: KubeConfigFile, kubeConfigFile: hook}}";
    await write(
      "chain.yaml",
      `apiVersion: apiserver.config.k8s.io/v1\nkind: AuthorizationConfiguration\nauthorizers: [{type: Node, name: node}, {type: RBAC, name: rbac}, {type: Webhook, name: a, ${hook}}, {type: Webhook, name: b, ${hook}}]\n`,
    );
    const kubeconfig = (
      cluster: string,
      rest = "contexts: [{name: a, context: {cluster: a, user: a}}]\ncurrent-context: a\n",
    ) =>
      write(
        "hook",
        `apiVersion: v1\nkind: Config\nclusters: [{name: a, cluster: {${cluster}}}]\nusers: [{name: a, user: {client-certificate: me.pem, client-key: me-key.pem}}]\n${rest}`,
      );
    const good = "server: https://hook.example.com/a, certificate-authority: hook-ca.pem";
    await kubeconfig(good);
    await t.rejects(read(chain), { message: /^authorization\.config: hook: .*: .* cannot be read: ENOENT/ });
    await write("hook-ca.pem", "no certificate");
    const { certificate, key } = await createAuthority(new Date());
    await write("me.pem", certificate);
    await write("me-key.pem", key);
    await t.rejects(read(chain), {
      message: /^authorization\.config: hook: certificate-authority: .* contains no certificate/,
    });
    await write("hook-ca.pem", certificate);
    await write("me.pem", key);
    await t.rejects(read(chain), {
      message: /hook: client-certificate: .*me\.pem contains no certificate in PEM format/,
    });
    await write("me.pem", certificate);
    await write("me-key.pem", certificate);
    await t.rejects(read(chain), { message: /hook: client-key: .*me-key\.pem contains no private key in PEM format/ });
    await write("me-key.pem", key);
    const { names, flags, text } = await read(chain);
    t.strictSame(names, ["authorization.yaml", "hook", "hook-ca.pem", "me-key.pem", "me.pem"]);
    t.strictSame(flags, {
      "authorization-config": "/etc/kubernetes/config/authorization.yaml",
      "authorization-mode": null,
    });
    t.match(text, "kubeConfigFile: /etc/kubernetes/config/hook");
    const cases: readonly (readonly [cluster: string, rest: string | undefined, message: RegExp])[] = [
      ["server: https://a", undefined, /hook:3:31: clusters\[0\]\.cluster: the webhook has no CA/],
      [good.replace("https", "http"), undefined, /server: "http:.*" does not use https/],
      [`${good}, insecure-skip-tls-verify: true`, undefined, /anybody could answer in place of the webhook/],
      [good.replace("hook-ca", "../ca"), undefined, /"\.\.\/ca\.pem" cannot be the name of a file/],
      [good, "contexts: []\ncurrent-context: a\n", /current-context: there is no such context/],
      [good, "contexts: [{name: a, context: {cluster: b}}]\ncurrent-context: a\n", /there is no cluster "b"/],
    ];
    for (const [cluster, rest, message] of cases) {
      await kubeconfig(cluster, rest);
      await t.rejects(read(chain), { code: "CONFIG_INVALID", message });
    }
    await t.rejects(read(chain, "v1.29.0"), { message: /^authorization\.config needs Kubernetes 1\.30 or later/ });
  },
);

t.test("an authorizer of the type ABAC needs a policy file", async (t) => {
  await write(
    "chain.yaml",
    "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthorizationConfiguration\nauthorizers: [{type: Node, name: a}, {type: RBAC, name: b}, {type: ABAC, name: c}]\n",
  );
  await t.rejects(read(chain), { code: "CONFIG_INVALID", message: /ABAC needs the flag authorization-policy-file/ });
  const flag = "kubernetes: {flags: {kube-apiserver: {authorization-policy-file: /a}}}";
  t.strictSame((await read(chain + flag)).names, ["authorization.yaml"]);
});
