import t from "tap";
import type { AgentNode } from "../../../../client/cluster/agent-client.ts";
import { planChecks } from "../../../../client/rollout/plan-checks.ts";
import { readTrials } from "../../../../client/rollout/trial.ts";
import { KhwError, toDetail } from "../../../../proto/errors.ts";
import { DesiredState } from "../../../../proto/gen/khw/agent/v1/agent.ts";
import { createFakeCluster } from "../../../fakes/cluster.ts";
import { never } from "../../../fixtures/machine.ts";

interface Options {
  readonly isAdministrator?: boolean;
  /** The finding that preflight reports on every node. */
  readonly finding?: string;
  /** The finding that the trial runs report on every node. */
  readonly refused?: string;
}

/** Plans a change to another release for two nodes whose API servers must be restarted. */
async function planned({ isAdministrator = true, finding, refused }: Options = {}) {
  const { config, members: plain } = await createFakeCluster(["controller-0", "controller-1"]);
  const calls: string[] = [];
  const details = (message: string | undefined) =>
    message === undefined ? [] : [toDetail(new KhwError("PREFLIGHT_FAILED", message))];
  const members = plain.map(({ node }) => {
    const { name } = node.address;
    const agent: AgentNode = {
      ...node,
      preflight: async () => {
        calls.push(`${name} preflight`);
        return { findings: details(finding), warnings: [], clockUnixMillis: Date.now(), programs: [] };
      },
      plan: async () => ({ steps: [{ id: "service/kube-apiserver", title: "", drift: "differs" }] }),
      inspectApi: async () => {
        calls.push(`${name} inspectApi`);
        return { kubelets: [], deprecatedApis: [], deadBackends: [], requests: 0, serverErrors: 0 };
      },
      storedVersions: async () => {
        calls.push(`${name} storedVersions`);
        return [];
      },
      prepare: async function* () {
        calls.push(`${name} prepare`);
        const kind = { $case: "operationFinished" as const, value: { changedSteps: 1 } };
        yield { operationId: "", sequence: 1, timeUnixMillis: 0, kind };
      },
      tryPrograms: async () => {
        calls.push(`${name} tryPrograms`);
        return { findings: details(refused), warnings: details("Flag --a has been deprecated") };
      },
    };
    return { node: agent };
  });
  const kubernetes = members.map(({ node }) => ({ node: node.address.name, version: "v1.20.2" }));
  const result = await planChecks(
    { config, members },
    {
      work: members.map(({ node }) => ({
        node,
        desired: DesiredState.fromPartial({ node: node.address.name }),
        maintenance: undefined,
      })),
      admin: { ca: Buffer.of(), certificate: Buffer.of(), key: Buffer.of(), server: "" },
      running: { kubernetes, etcd: [], unknown: { kubernetes: [], etcd: [] }, unread: [] },
      releases: { kubernetes: "v1.21.0", etcd: "v3.4.15" },
      releaseObstacles: [],
    },
    { isAdministrator, signal: never },
  );
  const text = ({ node, message }: KhwError): string => `${node}: ${message}`;
  return { ...result, findings: result.findings.map(text), warnings: result.warnings.map(text), calls };
}

t.test("an administrator's plan runs every check, and performs the trial runs last", async (t) => {
  const { findings, warnings, skipped, calls } = await planned({ refused: "--b is unknown" });
  t.strictSame(findings, ["controller-0: --b is unknown", "controller-1: --b is unknown"]);
  t.strictSame(warnings, ["controller-0: Flag --a has been deprecated", "controller-1: Flag --a has been deprecated"]);
  t.strictSame(skipped, []);
  t.match(calls.slice(-2), [/tryPrograms$/, /tryPrograms$/]);
  t.equal(calls.filter((call) => call.endsWith("prepare")).length, 2);
  t.equal(
    calls.filter((call) => call.endsWith("storedVersions")).length,
    1,
    "only one agent reads the stored versions, because all agents read the same etcd",
  );
});

t.test("after a finding, nothing is downloaded, and the plan lists the skipped checks", async (t) => {
  const { findings, skipped, calls } = await planned({ finding: "the disk is full" });
  t.strictSame(findings, ["controller-0: the disk is full", "controller-1: the disk is full"]);
  t.match(skipped, [/^the flags of new programs were not checked/]);
  t.notOk(calls.some((call) => /prepare|tryPrograms/.test(call)));
});

t.test("a viewer's plan makes no call that requires the role admin", async (t) => {
  const { skipped, calls } = await planned({ isAdministrator: false });
  t.match(skipped, [/were not checked, because these checks require the role admin$/]);
  t.strictSame(calls, []);
});

t.test("if an agent cannot perform the trial runs, the failure is reported as a finding", async (t) => {
  const { members } = await createFakeCluster(["controller-0"]);
  const work = members.map(({ node }) => ({
    node: {
      ...node,
      tryPrograms: async () => {
        throw new KhwError("IO_FAILED", "systemd-run is missing");
      },
    },
    desired: DesiredState.fromPartial({}),
    maintenance: undefined,
  }));
  const { findings } = await readTrials(work, never);
  t.match(findings, [{ node: "controller-0", message: "systemd-run is missing" }]);
});
