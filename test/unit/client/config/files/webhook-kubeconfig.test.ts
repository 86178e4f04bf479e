import t from "tap";
import { checkWebhookKubeconfig } from "../../../../../client/config/files/webhook-kubeconfig.ts";
import { KhwError } from "../../../../../proto/errors.ts";

/** The rules are those of k8s.io/client-go/tools/clientcmd/validation.go. */
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
    [problems("{token: !s3cret }"), /^hook:6:17: this is not YAML that khw reads/],
    [problems("{token: !!str s3cret}"), /the tag is not supported/],
    [problems("{token: {s3cret}"), /this is not YAML/],
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
