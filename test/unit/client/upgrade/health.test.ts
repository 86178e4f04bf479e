import t from "tap";
import { errorRateCheck } from "../../../../client/upgrade/canary.ts";
import { healthFindings } from "../../../../client/upgrade/health.ts";
import { KhwError } from "../../../../proto/errors.ts";
import {
  CertificateState,
  DrainReason,
  DriftPolicy,
  type GetStatusResponse,
  Health,
} from "../../../../proto/gen/khw/agent/v1/agent.ts";
import { createFakeCluster } from "../../../fakes/cluster.ts";
import { never } from "../../../fixtures/machine.ts";
import { component, wellStatus } from "../../../fixtures/status.ts";

/** Returns the findings for a cluster with an external etcd. The second node has this status. */
function found(changes: Partial<GetStatusResponse>): string[] {
  const nodes = ["controller-0", "controller-1"].map((node, index) => ({
    node,
    status: wellStatus(node, index === 1 ? changes : {}),
  }));
  const { findings } = healthFindings({ nodes }, [], false);
  return findings.map(({ node, step, message }: KhwError) => `${node}: ${step}: ${message}`);
}

t.test("a healthy cluster has no findings, and drift is not reported as a finding", async (t) => {
  t.strictSame(found({}), []);
  const steps = [
    { id: "unit/nginx", title: "", drift: "differs", sinceUnixMillis: 1, repairs: 0, nextRepairUnixMillis: 0 },
  ];
  const policy = DriftPolicy.DRIFT_POLICY_REPORT;
  t.strictSame(found({ drift: { policy, checkedUnixMillis: 1, steps, paused: "" } }), []);
});

t.test("an unhealthy component, a drained node and a certificate that expires soon are findings", async (t) => {
  const unwell = component("kube-apiserver", { health: Health.HEALTH_UNHEALTHY, reason: "/readyz answers 500" });
  t.match(found({ components: [unwell] }), [/^controller-1: kube-apiserver: .*\/readyz answers 500/]);
  const maintenance = { drained: true, holder: "jane", sinceUnixMillis: 1 };
  t.match(found({ maintenance }), [/^controller-1: maintenance: drained by jane/]);
  const state = CertificateState.CERTIFICATE_STATE_ERROR;
  const certificate = {
    path: "/var/lib/kubernetes/kubernetes.pem",
    subject: "",
    expiresUnixMillis: 1,
    state,
    reason: "",
  };
  t.match(found({ certificates: [certificate] }), [/kubernetes\.pem: expires on/]);
});

t.test("for a node left drained by a rolling update, only its certificates are reported", async (t) => {
  const reason = DrainReason.DRAIN_REASON_ROLLING_UPDATE;
  const maintenance = { drained: true, holder: "jane", sinceUnixMillis: 1, reason };
  const unwell = component("kube-apiserver", { health: Health.HEALTH_UNHEALTHY, reason: "/readyz answers 500" });
  t.strictSame(found({ maintenance, components: [unwell] }), []);
  const state = CertificateState.CERTIFICATE_STATE_ERROR;
  const certificate = { path: "/etc/khw-agent/pki/agent.pem", subject: "", expiresUnixMillis: 1, state, reason: "" };
  t.match(found({ maintenance, certificates: [certificate] }), [/agent\.pem: expires on/]);
});

t.test(
  "the error rate check fails if too many responses are server errors, but tolerates a few errors after a start",
  async (t) => {
    const [member] = (await createFakeCluster(["controller-0"])).members;
    if (member === undefined) throw new TypeError("there is one node");
    const check = (requests: number, serverErrors: number, before?: Parameters<typeof errorRateCheck>[2]) => {
      const answer = { kubelets: [], deprecatedApis: [], deadBackends: [], requests, serverErrors };
      const node = { ...member.node, inspectApi: async () => answer };
      return errorRateCheck(node, { ca: Buffer.of(), certificate: Buffer.of(), key: Buffer.of() }, before);
    };
    await t.resolves(check(40, 20).run(never));
    await t.resolves(check(1_000, 50).run(never));
    let reads = 0;
    const onlyNew = check(1_000, 100, async () => {
      if (++reads === 1) throw new KhwError("UNREACHABLE", "no answer");
      return { requests: 900, serverErrors: 90 };
    });
    await t.rejects(onlyNew.run(never), { code: "UNREACHABLE" });
    await t.resolves(onlyNew.run(never), "only new errors count, and a failed reading is repeated");
    await t.resolves(onlyNew.run(never));
    t.equal(reads, 2, "the earlier counts are kept");
    await t.rejects(check(1_000, 51).run(never), {
      code: "VERIFY_FAILED",
      message: "51 of 1000 answers were server errors",
    });
  },
);

const unready = { health: Health.HEALTH_UNHEALTHY, reason: "/readyz answers 500" };

/** Returns the nodes and the parts with problems, if these nodes' API servers and their nginx are unhealthy. */
function judged(unhealthy: readonly string[], { isBack = false, left = "" } = {}) {
  const names = ["controller-0", "controller-1"];
  const reason = DrainReason.DRAIN_REASON_ROLLING_UPDATE;
  const nodes = names.map((node) => {
    const unwell = { components: [component("kube-apiserver", unready), component("nginx", unready)] };
    const maintenance = { drained: true, holder: "jane", sinceUnixMillis: 1, reason };
    const changes = { ...(unhealthy.includes(node) && unwell), ...(node === left && { maintenance }) };
    return { node, status: wellStatus(node, changes) };
  });
  const backends = unhealthy.map((name) => ({ name, state: "UNHEALTHY" as const, address: "", zone: "" }));
  const { findings, warnings } = healthFindings({ nodes, loadBalancer: { backends } }, [], isBack);
  const places = (errors: readonly KhwError[]) => errors.map(({ node = "?", step = "?" }) => `${node}: ${step}`);
  return { findings: places(findings), warnings: places(warnings) };
}

const parts = (node: string) => [`${node}: kube-apiserver`, `${node}: nginx`];

t.test("a component that is unhealthy on every node causes only warnings, as do nginx and the backends", async (t) => {
  const names = ["controller-0", "controller-1"];
  const everywhere = [...names.flatMap(parts), ...names.map((name) => `${name}: load balancer`)];
  t.strictSame(judged(names), { findings: [], warnings: everywhere });
  const one = [...parts("controller-1"), "controller-1: load balancer"];
  t.strictSame(judged(["controller-1"]), { findings: one, warnings: [] });
  t.strictSame(judged(["controller-1"], { isBack: true }), { findings: [], warnings: one }, "on the way back");
  t.strictSame(judged(names, { left: "controller-0" }).findings, [], "a node that a rolling update left drained");
});

t.test("a problem of etcd is always an obstacle", async (t) => {
  const etcd = [{ node: "controller-0", error: new KhwError("UNREACHABLE", "no answer") }];
  t.match(healthFindings({ nodes: [] }, etcd, false).findings, [
    { message: /^etcd: controller-0: its agent does not answer/ },
  ]);
});
