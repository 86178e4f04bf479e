import t from "tap";
import { cisDocument, cisText } from "../../../../../client/doctor/cis/report.ts";
import type { CisResult } from "../../../../../client/doctor/cis/result.ts";
import { type CisReport, isCompliant, runCis } from "../../../../../client/doctor/cis/run.ts";
import { KhwError } from "../../../../../proto/errors.ts";
import { GetHardeningResponse } from "../../../../../proto/gen/khw/agent/v1/agent.ts";
import { createFakeCluster } from "../../../../fakes/cluster.ts";
import { component, wellStatus } from "../../../../fixtures/status.ts";

const paint = (_: unknown, text: string): string => text;

function result(node: string, id: string, changes: Partial<CisResult> = {}): CisResult {
  return { id, title: "a fact", node, outcome: "pass", evidence: "seen", ...changes };
}

function report(results: readonly CisResult[], errors: readonly KhwError[] = []): CisReport {
  const nodes = ["controller-0", "controller-1"].map(
    (node) => ({ node, version: "v1.21.0", edition: "1.20" }) as const,
  );
  return { nodes, results, errors };
}

t.test("nodes with the same result share a line, and passed checks are shown only with --verbose", async (t) => {
  const fix = "khw.yaml: kubernetes: {flags: {kube-apiserver: {profiling: false}}}";
  const mixed = report([
    result("controller-0", "1.2.20", { outcome: "fail", fix }),
    result("controller-1", "1.2.20", { outcome: "fail", fix }),
    result("controller-0", "1.2.3", { outcome: "fail", reason: "because", evidence: "a" }),
    result("controller-1", "1.2.3", { evidence: "b" }),
    result("controller-0", "3.1.1", { outcome: "manual" }),
  ]);
  const text = cisText(mixed, { paint, verbose: false });
  t.equal(
    text,
    `fail     1.2.3 a fact: controller-0: a
         reason: because
fail     1.2.20 a fact: seen
         ${fix}

manual   3.1.1 a fact: controller-0: seen

CIS Kubernetes Benchmark 1.20, v1.21.0, controller-0, controller-1: 3 fail (1 with a reason), 1 manual, 1 pass
`,
  );
  t.match(cisText(mixed, { paint, verbose: true }), /\npass {5}1\.2\.3 a fact: controller-1: b\n/);
  t.match(cisDocument(mixed), {
    well: false,
    checks: [
      { id: "1.2.3", result: "fail", nodes: ["controller-0"], reason: "because" },
      {},
      { id: "1.2.20", fix },
      {},
    ],
  });
});

t.test("a failure without a reason is a problem, and so is a check that did not run", async (t) => {
  t.equal(isCompliant(report([result("controller-0", "1.1.1", { outcome: "fail", reason: "because" })])), true);
  t.equal(isCompliant(report([result("controller-0", "1.1.1", { outcome: "manual" })])), true);
  t.equal(isCompliant(report([result("controller-0", "1.1.1", { outcome: "fail" })])), false);
  t.equal(isCompliant(report([result("controller-0", "1.1.1", { outcome: "not run" })])), false);
  t.equal(isCompliant(report([], [new KhwError("UNREACHABLE", "no answer")])), false);
});

t.test("each node is judged by its own release, and a node that does not respond is reported", async (t) => {
  const cluster = await createFakeCluster(["controller-0", "controller-1", "controller-2"]);
  const versions = ["v1.21.0", "v1.22.0", undefined];
  const members = cluster.members.map(({ node, info }, index) => ({
    ...(info !== undefined && { info }),
    node: {
      ...node,
      status: async () => {
        const version = versions[index];
        if (version === undefined) throw new KhwError("UNREACHABLE", "no answer", { node: node.address.name });
        return wellStatus(node.address.name, { components: [component("kube-apiserver", { version })] });
      },
      hardening: async () => GetHardeningResponse.fromPartial({}),
    },
  }));
  const found = await runCis({ ...cluster, members }, new AbortController().signal);
  t.strictSame(
    found.nodes.map(({ edition }) => edition),
    ["1.20", "1.23"],
  );
  t.match(found.errors, [{ code: "UNREACHABLE", node: "controller-2" }]);
  t.equal(isCompliant(found), false);
  const text = cisText(found, { paint, verbose: false });
  t.match(text, "not run  controller-2: no answer\n");
  t.match(text, /not run {2}1\.2\.2 [^\n]*kube-apiserver is not running/);
});
