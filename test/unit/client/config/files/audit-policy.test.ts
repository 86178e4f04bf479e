import t from "tap";
import { checkAuditPolicy, metadataPolicy } from "../../../../../client/config/files/audit-policy.ts";
import { KhwError } from "../../../../../proto/errors.ts";

function problems(text: string, minor = 21): string[] {
  try {
    checkAuditPolicy(text, "policy.yaml", minor);
    return [];
  } catch (error) {
    if (!(error instanceof KhwError) || error.code !== "CONFIG_INVALID") throw error;
    return error.message.split("\n");
  }
}

const head = "apiVersion: audit.k8s.io/v1\nkind: Policy\n";
const rule = (text: string) => problems(`${head}rules:\n- ${text}\n`);

t.test("the built-in policy is valid for every release", (t) => {
  for (const minor of [20, 21, 24, 37]) t.strictSame(problems(metadataPolicy, minor), []);
  t.notMatch(metadataPolicy, /level: Request/, "no rule records the content of requests");
  t.end();
});

t.test("a policy with every field is valid", (t) => {
  const text = `${head}metadata: {name: mine}
omitStages: [RequestReceived, Panic]
rules:
- {level: None, users: [a], userGroups: [b], verbs: [get], namespaces: [c], omitStages: [ResponseStarted]}
- level: RequestResponse
  resources: [{group: "", resources: [pods], resourceNames: [one]}, {group: rbac.authorization.k8s.io}, {}]
- {level: Metadata, nonResourceURLs: ["*", "/metrics", "/healthz*"]}
`;
  t.strictSame(problems(text), []);
  t.strictSame(problems(`${text}omitManagedFields: true\n`, 23), []);
  t.end();
});

t.test("each error states the file, the line and the column", (t) => {
  const cases: readonly (readonly [found: readonly string[], message: string | RegExp])[] = [
    [
      rule("level: Metadta"),
      'policy.yaml:4:10: rules[0].level: "Metadta" is not one of None, Metadata, Request, RequestResponse',
    ],
    [rule("users: [a]"), "policy.yaml:4:3: rules[0]: level is missing"],
    [rule("{level: None, user: [a]}"), /^policy\.yaml:4:17: rules\[0\]\.user: there is no such key/],
    [rule("{level: None, users: a}"), /^policy\.yaml:4:24: rules\[0\]\.users: must be a list/],
    [
      rule("{level: None, nonResourceURLs: [/a], namespaces: [b]}"),
      /^policy\.yaml:4:3: rules\[0\]: a rule with nonResourceURLs/,
    ],
    [rule("{level: None, nonResourceURLs: [a]}"), /does not begin with a slash/],
    [rule("{level: None, nonResourceURLs: [/a*b]}"), /has a \* before its end/],
    [rule("{level: None, omitStages: [Never]}"), /"Never" is not one of RequestReceived/],
    [rule("{level: None, resources: [{group: rbac.authorization.k8s.io/v1}]}"), /is not the name of an API group/],
    [rule("{level: None, resources: [{resourceNames: [a]}]}"), /resourceNames needs resources/],
    [problems(`${head}rules: []\n`), "policy.yaml:3:8: rules: the list is empty"],
    [problems(head), "policy.yaml:1:1: rules is missing"],
    [problems("kind: Policy\nrules: [{level: None}]\n"), "policy.yaml:1:1: apiVersion is missing"],
    [
      problems("apiVersion: audit.k8s.io/v1\nkind: Polcy\nrules: [{level: None}]\n"),
      /^policy\.yaml:2:7: kind: "Polcy"/,
    ],
    [problems("a: [\n"), /^policy\.yaml:/],
    [problems(""), /^policy\.yaml:1:1: expected a map, found nothing/],
    [problems(`${head}rules: [{level: None}]\n---\n${head}`), /^policy\.yaml:4:1: /],
  ];
  for (const [found, message] of cases) {
    t.equal(found.length, 1, found.join());
    t.match(found[0], message);
  }
  t.equal(rule("{level: A, users: b, verbs: c}").length, 3, "all three errors are reported at once");
  t.end();
});

t.test("versions and fields that the release does not support are refused", (t) => {
  const old = "apiVersion: audit.k8s.io/v1beta1\nkind: Policy\nrules: [{level: None}]\n";
  t.strictSame(problems(old, 23), []);
  t.match(
    problems(old, 24)[0],
    /^policy\.yaml:1:13: apiVersion: Kubernetes 1\.24 does not read audit\.k8s\.io\/v1beta1/,
  );
  t.match(problems(old.replace("v1beta1", "v2"))[0], /is not a version of an audit policy/);
  const managed = `${head}rules:\n- {level: None, omitManagedFields: true}\n`;
  t.match(
    problems(managed, 22)[0],
    /^policy\.yaml:4:17: rules\[0\]\.omitManagedFields: Kubernetes knows this field from 1\.23 on/,
  );
  t.strictSame(problems(managed, 23), []);
  t.end();
});

t.test("a number or boolean is refused where a string is expected, and a string where a boolean is expected", (t) => {
  const head = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n";
  const message = (rule: string): string => {
    try {
      checkAuditPolicy(`${head}- ${rule}\n`, "policy.yaml", 30);
      return "";
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  };
  const numbers = ["12", "-3", "0x1F", "017", "1_000", "1.5", ".5", "1e3", ".inf", ".NaN"];
  for (const word of numbers) {
    t.match(
      message(`{level: None, users: [${word}]}`),
      /^policy\.yaml:4:\d+: .*users\[0\]: .* as a number, but needs/,
      word,
    );
  }
  for (const word of ["true", "False", "yes", "No", "on", "OFF", "y"]) {
    t.match(
      message(`{level: None, verbs: [${word}]}`),
      /verbs\[0\]: Kubernetes reads .* as a boolean, but needs/,
      word,
    );
  }
  const words = ["'12'", '"yes"', "yesterday", "1.2.3", "v1", "10.0.0.1", "2024-01-01", "system:node", "e3"];
  for (const word of words) t.equal(message(`{level: None, users: [${word}]}`), "", word);
  t.match(message('{level: None, omitManagedFields: "true"}'), /omitManagedFields: "true" is not a boolean/);
  t.match(message("{level: None, omitManagedFields: 1}"), /omitManagedFields: "1" is not a boolean/);
  t.equal(message("{level: None, omitManagedFields: yes}"), "", "YAML 1.1 reads yes as true");
  t.match(message("{level: None, resources: [{group: 5}]}"), /group: Kubernetes reads 5 as a number/);
  t.match(message("{level: None, users: [~]}"), /users\[0\]: expected a string, found nothing/);
  t.end();
});

t.test("recursive or excessive aliases are refused, and a small number of aliases is accepted", (t) => {
  t.match(problems(`${head}rules: &r [*r ]\n`), [/the file has more than 100 aliases/]);
  const levels = Array.from({ length: 6 }, (_, index) => {
    const inner = index === 0 ? "x" : `*a${index - 1} `;
    return `a${index}: &a${index} [${Array.from({ length: 9 }, () => inner).join(", ")}]\n`;
  });
  t.match(problems(`${head}rules: [{level: None}]\nmetadata:\n  ${levels.join("  ")}`), [/more than 100 aliases/]);
  t.strictSame(problems(`${head}rules: [{level: None, users: &u [a]}, {level: None, users: *u }]\n`), []);
  t.end();
});
