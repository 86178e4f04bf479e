import t from "tap";
import { checkAuthorization } from "../../../../../client/config/files/structured-authorization.ts";
import { KhwError } from "../../../../../proto/errors.ts";

/**
 * Checks a file against the API server's rules in k8s.io/apiserver/pkg/apis/apiserver/validation/validation.go. These
 * tests cannot run an API server that has these rules.
 */
function problems(text: string, minor = 32): string {
  try {
    checkAuthorization(text, "z.yaml", minor);
    return "";
  } catch (error) {
    if (!(error instanceof KhwError) || error.code !== "CONFIG_INVALID") throw error;
    return error.message;
  }
}

const head = (version = "v1") => `apiVersion: apiserver.config.k8s.io/${version}\nkind: AuthorizationConfiguration\n`;
const chain = (...authorizers: readonly string[]) =>
  `${head()}authorizers:\n${authorizers.map((one) => `- ${one}\n`).join("")}`;
const [node, rbac] = ["{type: Node, name: node}", "{type: RBAC, name: rbac}"];
const webhook = (text: string) =>
  `{type: Webhook, name: hook, webhook: {timeout: 3s, subjectAccessReviewVersion: v1, failurePolicy: NoOpinion, connectionInfo: {type: KubeConfigFile, kubeConfigFile: hook.kubeconfig}${text}}}`;
const changed = (from: string, to: string) => webhook("").replace(from, to);

t.test("the names of kubeconfigs are replaced by paths on the controllers", (t) => {
  const found = checkAuthorization(`# Ours\n${chain(node, rbac, webhook(""))}`, "z.yaml", 32);
  t.strictSame(found.kubeconfigs, ["hook.kubeconfig"]);
  t.match(found.content, /^# Ours\n/);
  t.match(found.content, /kubeConfigFile: \/etc\/kubernetes\/config\/hook\.kubeconfig/);
  t.match(found.content, /timeout: 3s/);
  t.end();
});

t.test("an API version that the Kubernetes release does not support is refused", (t) => {
  const of = (version: string, minor: number) => problems(`${head(version)}authorizers: [${node}, ${rbac}]\n`, minor);
  t.strictSame([of("v1beta1", 30), of("v1beta1", 32), of("v1", 32)], ["", "", ""]);
  t.match(of("v1", 31), /^z\.yaml:1:13: apiVersion: Kubernetes 1\.31 does not read .*\/v1, which exists from 1\.32 on/);
  t.match(of("v1alpha1", 30), /is not a version that khw accepts/);
  t.end();
});

t.test("each error states the file, the line and the column", (t) => {
  const last = (text: string) => problems(chain(node, rbac, text));
  const cases: readonly (readonly [found: string, message: RegExp])[] = [
    [problems(chain(rbac)), /^z\.yaml:4:1: authorizers: there is no authorizer Node, which kubelets/],
    [problems(chain("{type: ABAC, name: a}")), /there is no authorizer Node and no RBAC/],
    [problems(`${head()}authorizers: []\n`), /the list is empty/],
    [last("{type: AlwaysAllow, name: a}"), /^z\.yaml:6:3: authorizers\[2\]: AlwaysAllow permits every request/],
    [last(node), /the name "node" is used twice/],
    [last("{type: Node, name: other}"), /the type Node is used twice/],
    [last("{type: Other, name: a}"), /"Other" is not one of Node, RBAC, Webhook/],
    [last("{type: ABAC, name: A}"), /"A" is not a name of lower-case letters/],
    [last("{type: ABAC, name: 123}"), /name: Kubernetes reads 123 as a number/],
    [last("{type: Webhook, name: a}"), /webhook is missing/],
    [last(webhook("").replace("Webhook", "ABAC")), /webhook needs type: Webhook/],
    [last(changed("3s", "31s")), /timeout: "31s" is not above 0s and at most 30s/],
    [last(changed("3s", "soon")), /timeout: "soon" is not a duration/],
    [last(changed("timeout: 3s, ", "")), /timeout is missing/],
    [last(changed("Version: v1", "Version: v2")), /"v2" is not one of v1, v1beta1/],
    [last(changed("NoOpinion", "Allow")), /"Allow" is not one of NoOpinion, Deny/],
    [last(changed("KubeConfigFile,", "InClusterConfig,")), /"InClusterConfig" is not one of KubeConfigFile/],
    [last(changed("hook.kubeconfig", "/etc/hook")), /"\/etc\/hook" cannot be the name of a file/],
    [last(webhook(', matchConditions: [{expression: ""}]')), /the text is empty/],
    [last(webhook(", matchConditions: [{expression: a}]")), /needs matchConditionSubjectAccessReviewVersion/],
    [last(webhook(", authorizedTTL: -1s")), /authorizedTTL: "-1s" is not a duration/],
  ];
  for (const [found, message] of cases) t.match(found, message);
  t.equal(last(changed("NoOpinion", "Deny")), "");
  t.end();
});

t.test("a webhook that precedes Node or RBAC is refused unless its match conditions exclude health checks", (t) => {
  const conditions = (...expressions: readonly string[]) =>
    webhook(
      `, matchConditionSubjectAccessReviewVersion: v1, matchConditions: [${expressions.map((one) => `{expression: ${one}}`).join(", ")}]`,
    );
  const refused = [webhook(""), changed("NoOpinion", "Deny"), conditions("'true'"), conditions('"!has(request.a)"')];
  for (const one of refused)
    for (const text of [chain(one, node, rbac), chain(node, one, rbac), chain(rbac, one, node)])
      t.match(problems(text), /webhook: .* asked before Node and RBAC; .* health checks fail/);
  const limited = conditions("a", "has(request.resourceAttributes)");
  t.equal(problems(chain(limited, node, rbac)), "");
  t.equal(problems(chain(limited.replace("NoOpinion", "Deny"), node, rbac)), "");
  t.equal(problems(chain(node, rbac, webhook(""))), "");
  t.end();
});

t.test(
  "an alias in place of a kubeconfig's name is refused, because khw could not replace the alias with a path",
  (t) => {
    const anchored = webhook("")
      .replace("Webhook, name: hook", "Webhook, name: &f hook")
      .replace("hook.kubeconfig", "*f ");
    t.match(problems(chain(node, rbac, anchored)), /kubeConfigFile: khw does not support aliases here/);
    t.end();
  },
);
