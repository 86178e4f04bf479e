import { Metadata, status } from "@grpc/grpc-js";
import t from "tap";
import { droppedBetween } from "../../../../client/release/dropped-versions.ts";
import { judgeStoredVersions, storedVersionFindings } from "../../../../client/release/stored-versions.ts";
import { KhwError } from "../../../../proto/errors.ts";
import type { StoredVersion } from "../../../../proto/gen/khw/agent/v1/encryption.ts";
import { createFakeCluster } from "../../../fakes/cluster.ts";
import { never } from "../../../fixtures/machine.ts";

const cronJobs: StoredVersion = {
  resource: "cronjobs",
  apiVersion: "batch/v2alpha1",
  kind: "CronJob",
  encrypted: false,
  count: 5,
  examples: ["default/a", "default/b", "jobs/c"],
};

const judge = (stored: readonly StoredVersion[], wanted: string, { from = "v1.20.2", allowed = false } = {}) =>
  judgeStoredVersions(stored, { dropped: droppedBetween(from, wanted), wanted, allowed });

t.test("objects that the new release cannot read cause an error that states their number, names and remedy", (t) => {
  const { obstacles, warnings } = judge([cronJobs, { ...cronJobs, apiVersion: "batch/v1beta1" }], "v1.21.0");
  t.equal(obstacles.length, 1);
  t.equal(obstacles[0]?.code, "RELEASE_REFUSED");
  t.equal(
    obstacles[0]?.message,
    "batch/v2alpha1 CronJob is the stored version of 5 objects (default/a, default/b, jobs/c, 2 more), and " +
      "Kubernetes v1.21.0 cannot read this version, so every request to list the resource fails",
  );
  t.match(obstacles[0]?.hint, /kubectl get cronjobs\.batch --all-namespaces -o yaml \| kubectl replace -f -/);
  t.match(obstacles[0]?.hint, /--allow-removed-apis continues despite this/);
  t.strictSame(warnings, []);
  t.end();
});

t.test("with --allow-removed-apis, objects that the new release cannot read cause only a warning", (t) => {
  const { obstacles, warnings } = judge([cronJobs], "v1.21.0", { allowed: true });
  t.strictSame(obstacles, []);
  t.match(warnings, [{ message: /^batch\/v2alpha1 CronJob is the stored version of 5 objects/ }]);
  t.end();
});

t.test("if the running release still stores the dropped version, the remedy is to recreate the objects", (t) => {
  const lease = {
    ...cronJobs,
    resource: "leasecandidates",
    apiVersion: "coordination.k8s.io/v1alpha1",
    kind: "LeaseCandidate",
    count: 1,
    examples: ["kube-system/one"],
  };
  const { obstacles } = judge([lease], "v1.32.1", { from: "v1.31.4" });
  t.match(
    obstacles[0]?.message,
    /^coordination\.k8s\.io\/v1alpha1 LeaseCandidate is the stored version of 1 object \(/,
  );
  t.match(obstacles[0]?.hint, /delete them before the update/);
  t.end();
});

t.test("objects of a resource that the new release does not have cause a warning", (t) => {
  const policy = {
    ...cronJobs,
    resource: "podsecuritypolicies",
    apiVersion: "policy/v1beta1",
    kind: "PodSecurityPolicy",
  };
  const { obstacles, warnings } = judge([policy], "v1.25.0", { from: "v1.24.9" });
  t.strictSame(obstacles, []);
  t.match(warnings, [{ message: /does not have this resource: the objects stay in etcd/, hint: /kubectl delete/ }]);
  t.end();
});

t.test("values that cannot be read are counted and reported in a warning", (t) => {
  const unread = { ...cronJobs, apiVersion: "", kind: "" };
  const { obstacles, warnings } = judge([{ ...unread, encrypted: true }, unread], "v1.21.0");
  t.strictSame(obstacles, []);
  t.match(warnings, [
    { message: /^the stored version of 5 objects in cronjobs .* because the values are encrypted/ },
    { message: /^the stored version of 5 objects in cronjobs .* because the values are damaged/ },
  ]);
  t.end();
});

type Answer = readonly StoredVersion[] | KhwError;

async function found(wanted: string, answers: Readonly<Record<string, Answer>>, releases: readonly string[]) {
  const { members: plain } = await createFakeCluster(Object.keys(answers));
  const asked: { readonly node: string; readonly resources: readonly string[] }[] = [];
  const members = plain.map(({ node }) => ({
    node: {
      ...node,
      storedVersions: async (resources: readonly string[]) => {
        const { name } = node.address;
        asked.push({ node: name, resources });
        const answer = answers[name] ?? [];
        if (answer instanceof KhwError) throw answer.at({ node: name });
        return [...answer];
      },
    },
  }));
  const kubernetes = releases.map((version, index) => ({ node: `n${index}`, version }));
  const running = { kubernetes, etcd: [], unknown: { kubernetes: [], etcd: [] }, unread: [] };
  const options = { running, wanted, allowRemovedApis: false, signal: never };
  const findings = await storedVersionFindings(members, options);
  const text = ({ node = "", message }: KhwError): string => `${node}: ${message}`;
  return { asked, obstacles: findings.obstacles.map(text), warnings: findings.warnings.map(text) };
}

t.test("the first agent that responds counts the objects, but only for resources with dropped versions", async (t) => {
  const away = new KhwError("NOT_READY", "etcd does not answer");
  const { asked, obstacles } = await found("v1.21.0", { a: away, b: [cronJobs], c: [] }, ["v1.20.2"]);
  const resources = ["cronjobs", "endpointslices"];
  t.strictSame(asked, [
    { node: "a", resources },
    { node: "b", resources },
  ]);
  t.match(obstacles, [/^: batch\/v2alpha1 CronJob/]);
});

t.test("no agent is queried if the update drops no version or if no release is running", async (t) => {
  t.strictSame((await found("v1.22.0", { a: [] }, ["v1.21.0"])).asked, []);
  t.strictSame((await found("v1.21.0", { a: [] }, [])).asked, []);
});

t.test("if no agent responds, a new update is refused, but an unfinished update can be continued", async (t) => {
  const a = new KhwError("NOT_READY", "etcd does not answer");
  const text = "a: the stored objects were not counted by version: etcd does not answer";
  t.strictSame((await found("v1.21.0", { a }, ["v1.20.2"])).obstacles, [text]);
  t.match(await found("v1.21.0", { a }, ["v1.20.2", "v1.21.0"]), { obstacles: [], warnings: [text] });
});

t.test("an agent that is too old to count stored objects causes a warning", async (t) => {
  const cause = Object.assign(new Error("12 UNIMPLEMENTED"), {
    code: status.UNIMPLEMENTED,
    details: "",
    metadata: new Metadata(),
  });
  const a = new KhwError("INTERNAL", "the agent does not know this call", { cause });
  const { obstacles, warnings } = await found("v1.21.0", { a }, ["v1.20.2"]);
  t.strictSame(obstacles, []);
  t.match(warnings, [/^a: the stored objects were not counted by version/]);
});
