import t from "tap";
import { checkAdmission, eventLimits } from "../../../../../client/config/files/admission.ts";
import { KhwError } from "../../../../../proto/errors.ts";

function problems(text: string, minor = 25): string[] {
  try {
    checkAdmission(text, "admission.yaml", minor);
    return [];
  } catch (error) {
    if (!(error instanceof KhwError) || error.code !== "CONFIG_INVALID") throw error;
    return error.message.split("\n");
  }
}

const head = "apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\n";
const plugin = (text: string, minor?: number) => problems(`${head}plugins:\n- ${text}\n`, minor);
const security = (version: string, rest = "") =>
  `{name: PodSecurity, configuration: {apiVersion: pod-security.admission.config.k8s.io/${version}, kind: PodSecurityConfiguration${rest}}}`;
const limits = (text: string) =>
  `{name: EventRateLimit, configuration: {apiVersion: eventratelimit.admission.k8s.io/v1alpha1, kind: Configuration, limits: ${text}}}`;

t.test("the built-in event limits are valid, and turn on the EventRateLimit plugin", (t) => {
  t.strictSame(checkAdmission(eventLimits, "admission.yaml", 20), { plugins: ["EventRateLimit"], files: [] });
  t.end();
});

t.test("plugins with a configuration or a file are accepted", (t) => {
  const found = checkAdmission(
    `${head}plugins: [{name: ImagePolicyWebhook, path: images.yaml}, {name: Mine, configuration: {a: b}}]\n`,
    "admission.yaml",
    21,
  );
  t.strictSame(found, {
    plugins: ["ImagePolicyWebhook"],
    files: [{ plugin: "ImagePolicyWebhook", path: "images.yaml" }],
  });
  const full =
    ", defaults: {enforce: baseline, enforce-version: latest, warn-version: v1.25}, exemptions: {namespaces: [a]}";
  t.strictSame(plugin(security("v1", full)), []);
  t.end();
});

t.test("the API version of PodSecurity must be one that the release supports", (t) => {
  t.strictSame(plugin(security("v1beta1"), 23), []);
  t.match(
    plugin(security("v1"), 24)[0],
    /^admission\.yaml:4:51: .*apiVersion: Kubernetes 1\.24 does not read pod-security.*from 1\.25 on/,
  );
  t.match(plugin(security("v1beta1"), 21)[0], /Kubernetes 1\.21 does not read .* exists from 1\.23 on/);
  t.match(plugin(security("v3"))[0], /is not a version of PodSecurity's configuration/);
  t.end();
});

t.test("each error states the file, the line and the column", (t) => {
  const cases: readonly (readonly [found: readonly string[], message: RegExp])[] = [
    [
      plugin(security("v1", ", defaults: {enforce: strict}")),
      /^admission\.yaml:4:\d+: .*defaults\.enforce: "strict" is not one of privileged/,
    ],
    [plugin(security("v1", ", defaults: {enforce-version: 1}")), /"1" is not a version of the Pod Security Standards/],
    [plugin(security("v1", ", exemption: {}")), /exemption: there is no such key/],
    [plugin(limits("[]")), /limits: the list is empty/],
    [plugin(limits("[{type: Server, qps: 0, burst: 1}]")), /limits\[0\]\.qps: "0" is not a number above 0/],
    [
      plugin(limits('[{type: Server, qps: "5", burst: 1}]')),
      /limits\[0\]\.qps: "5" is a string, but Kubernetes needs a number/,
    ],
    [plugin(limits("[{type: Server, qps: 5, burst: many}]")), /burst: "many" is not a number above 0/],
    [plugin(limits("[{type: Server, qps: 010, burst: 1}]")), /qps: "010" is not a number/],
    [
      plugin(security("v1", ", exemptions: {namespaces: [2024]}")),
      /^admission\.yaml:4:\d+: .*namespaces\[0\]: Kubernetes reads 2024 as a number, but needs a string/,
    ],
    [plugin("{name: 7, path: b}"), /name: Kubernetes reads 7 as a number/],
    [plugin("{name: A, path: 1.5}"), /path: Kubernetes reads 1\.5 as a number/],
    [plugin(limits("[{type: All, qps: 1, burst: 1}]")), /"All" is not one of Server, Namespace/],
    [
      plugin("{name: EventRateLimit}"),
      /^admission\.yaml:4:3: plugins\[0\]: the plugin EventRateLimit needs either path or configuration/,
    ],
    [plugin("{name: A, path: ../b}"), /"\.\.\/b" cannot be the name of a file/],
    [
      plugin("{name: A, path: b}\n- {name: A, path: c}"),
      /^admission\.yaml:5:10: plugins\[1\]\.name: "A" is listed twice/,
    ],
    [plugin("{path: b}"), /name is missing/],
    [problems(`${head}plugin: []\n`), /plugin: there is no such key/],
    [problems("kind: AdmissionConfig\napiVersion: v1\nplugins: []\n"), /^admission\.yaml:1:7: kind: "AdmissionConfig"/],
  ];
  for (const [found, message] of cases) t.match(found.join("\n"), message);
  t.end();
});
