import t from "tap";
import { checkWebhookKubeconfig } from "../../../../../client/config/files/webhook-kubeconfig.ts";
import { KhwError } from "../../../../../proto/errors.ts";

/** Checks a user and a cluster by the rules of k8s.io/client-go/tools/clientcmd/validation.go. */
function problems(user: string, cluster = "server: https://a, certificate-authority: ca.pem"): string {
  try {
    checkWebhookKubeconfig(
      `apiVersion: v1\nkind: Config\nclusters: [{name: a, cluster: {${cluster}}}]\nusers:\n- name: a\n  user: ${user}\ncontexts: [{name: a, context: {cluster: a, user: a}}]\ncurrent-context: a\n`,
      "hook",
    );
    return "";
  } catch (error) {
    if (!(error instanceof KhwError) || error.code !== "CONFIG_INVALID") throw error;
    return `${error.message} ${error.hint}`;
  }
}

t.test("messages never quote credentials", (t) => {
  const cases: readonly (readonly [found: string, message: RegExp])[] = [
    [
      problems("{token: !s3cret }"),
      /^hook:6:17: this is not valid YAML, or it uses YAML syntax that khw does not support/,
    ],
    [problems("{token: !!str s3cret}"), /the tag is not supported/],
    [problems("{token: {s3cret}"), /this is not valid YAML/],
    [problems("s3cret"), /user: must be a map/],
    [problems("{token:s3cret}"), /user: there is an unknown key/],
    ...["https://bob:s3cret@w", "http://bob:s3cret@w", "'https://bob:s3 cret@w'", "https://w?s3cret"].map(
      (server) =>
        [problems("{}", `server: ${server}, certificate-authority: ca.pem`), /cluster\.server: the URL /] as const,
    ),
  ];
  for (const [found, message] of cases) {
    t.match(found, message);
    t.notMatch(found, /s3 ?cret/);
  }
  t.equal(problems("{token: s3cret}"), "");
  t.end();
});

t.test("a number in place of a string is refused, and so is a string in place of a boolean", (t) => {
  const good = "server: https://a, certificate-authority: ca.pem";
  t.match(problems("{token: 12345}"), /user\.token: Kubernetes needs a string here/);
  t.notMatch(problems("{token: 12345}"), "12345");
  t.match(problems("{}", `${good}, tls-server-name: 1`), /tls-server-name: Kubernetes reads 1 as a number/);
  t.match(problems("{}", `${good}, disable-compression: "true"`), /"true" is not a boolean/);
  t.match(problems("{}", `${good}, insecure-skip-tls-verify: "false"`), /"false" is not a boolean/);
  t.match(problems("{}", good.replace("ca.pem", "123")), /certificate-authority: Kubernetes reads 123 as a number/);
  t.equal(problems('{token: "12345"}', `${good}, disable-compression: true`), "");
  t.end();
});

t.test("a user entry that would prevent the API server from starting is refused", (t) => {
  const pair = /a client certificate needs its key/;
  t.match(problems("{client-certificate: a.pem}"), pair);
  t.match(problems("{client-key: a.pem}"), pair);
  t.match(problems("{client-certificate-data: YQ==}"), /client-certificate-data: the text, .* contains no certificate/);
  t.match(problems("{client-key-data: YQ==}"), /client-key-data: the text, .* contains no private key/);
  t.match(problems("{token: a, username: b}"), /a token cannot be used together with a user name/);
  t.equal(problems("{client-certificate: a.pem, client-key: b.pem, token: a}"), "");
  t.end();
});
