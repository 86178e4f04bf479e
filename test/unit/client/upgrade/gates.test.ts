import t from "tap";
import { createAuthority, issue } from "../../../../client/pki/management/issue.ts";
import { runGate } from "../../../../client/upgrade/gate.ts";
import { createGates, type GatesOptions } from "../../../../client/upgrade/gates.ts";
import { KhwError } from "../../../../proto/errors.ts";
import { createFakeCluster } from "../../../fakes/cluster.ts";
import { never } from "../../../fixtures/machine.ts";

const authority = await createAuthority(new Date());
const identity = await issue(authority, { name: "admin", role: "admin", days: 1 }, new Date());
const [ca, certificate, key] = [
  Buffer.from(authority.certificate),
  Buffer.from(identity.certificate),
  Buffer.from(identity.key),
];
const options = { variables: { KHW_NODE: "controller-0" }, env: { PATH: process.env["PATH"] }, signal: never };

t.test("the gate command gets the name of the node, and its output is returned", async (t) => {
  t.equal(await runGate('echo "checked $KHW_NODE"; echo also >&2', options), "checked controller-0\nalso");
});

t.test("a failed gate command is reported with its exit code or signal, and with its output", async (t) => {
  await t.rejects(runGate("echo too slow; exit 3", options), {
    code: "VERIFY_FAILED",
    message: "the gate ended with 3: too slow",
    hint: /upgrade --back/,
  });
  await t.rejects(runGate("kill -9 $$", options), {
    message: "the gate ended with signal SIGKILL: it printed nothing",
  });
});

/** Returns gates for two fake nodes that pass khw's own checks, or do not. */
async function scene(options: Partial<GatesOptions> & { readonly failing?: boolean } = {}) {
  const { failing = false, ...others } = options;
  const cluster = await createFakeCluster(["controller-0", "controller-1"]);
  const [one, two] = cluster.members.map(({ node }) => node);
  if (one === undefined || two === undefined) throw new TypeError("there are two nodes");
  const checked: string[] = [];
  const gates = createGates({
    gate: "",
    pauseAfter: undefined,
    env: { PATH: process.env["PATH"] },
    signal: never,
    progress: { emit: () => {}, settled: async () => {} },
    course: { from: "v1.20.2", to: "v1.21.0", direction: "forward", unfinished: undefined },
    plan: {
      publicAddress: "127.0.0.1",
      admin: { ca, certificate, key, server: "" },
      running: {
        kubernetes: ["controller-0", "controller-1"].map((node) => ({ node, version: "v1.20.2" })),
        etcd: [],
        unknown: { kubernetes: [], etcd: [] },
        unread: [],
      },
    },
    timeouts: { verify: 0 },
    check: async ({ address }, { errors }) => {
      checked.push(errors === "new" ? `${address.name} for new errors` : address.name);
      if (failing)
        throw new KhwError("VERIFY_FAILED", "the first node does not pass its checks", { node: address.name });
    },
    ...others,
  });
  return { gates, one, two, checked };
}

t.test("the gates run once, for the first node that changes", async (t) => {
  const { gates, one, two, checked } = await scene({ gate: "echo passed" });
  await gates.between([
    { node: one, changed: 0 },
    { node: two, changed: 3 },
  ]);
  await gates.between([
    { node: one, changed: 0 },
    { node: two, changed: 3 },
  ]);
  await gates.last([
    { node: one, changed: 0 },
    { node: two, changed: 3 },
  ]);
  t.strictSame(checked, ["controller-1"]);
  t.equal(gates.report(), "gate: passed");
});

t.test("if an earlier run has changed the first node, the gates run for it before another node changes", async (t) => {
  const { gates, one, checked } = await scene({ gate: "echo broken; exit 1" });
  await t.rejects(gates.between([{ node: one, changed: 0 }]), { message: "the gate ended with 1: broken" });
  t.strictSame(checked, ["controller-0 for new errors"]);
  t.match(gates.failures(), [{ code: "VERIFY_FAILED" }]);
});

t.test("on the way back, a node without a change does not count as the first node", async (t) => {
  const course = { from: "v1.21.0", to: "v1.20.2", direction: "back", unfinished: undefined } as const;
  const { gates, one, two, checked } = await scene({ course });
  await gates.between([{ node: one, changed: 0 }]);
  t.strictSame(checked, []);
  await gates.between([
    { node: one, changed: 0 },
    { node: two, changed: 3 },
  ]);
  t.strictSame(checked, ["controller-1"]);
});

t.test("the gates also run after the only node, but not after a failed node", async (t) => {
  const failed = await scene();
  await failed.gates.last([{ node: failed.one, changed: 0, error: new KhwError("NOT_READY", "no answer") }]);
  t.strictSame(failed.checked, []);
  const { gates, one } = await scene({ failing: true });
  await gates.last([{ node: one, changed: 3 }]);
  t.match(gates.failures(), [{ message: "the first node does not pass its checks" }]);
});

t.test("an upgrade pauses after the requested number of changed nodes, but only if the gates pass", async (t) => {
  const { gates, one, two } = await scene({ pauseAfter: 1 });
  await gates.between([{ node: one, changed: 0 }]);
  t.equal(gates.paused(), undefined, "an unchanged node does not count");
  const done = [
    { node: one, changed: 0 },
    { node: two, changed: 3 },
  ];
  await t.rejects(gates.between(done), { code: "SKIPPED", message: "paused after controller-1" });
  t.equal(gates.paused(), "paused after controller-1");
  t.equal(gates.report(), "paused after controller-1");

  const failing = await scene({ pauseAfter: 1, failing: true });
  await t.rejects(failing.gates.between([{ node: failing.one, changed: 3 }]), { code: "VERIFY_FAILED" });
  t.equal(failing.gates.paused(), undefined, "a failed check is not reported as a pause");
});

t.test("by default, khw checks the node, the leaders and the error rate", async (t) => {
  const titles: string[] = [];
  const { gates, one } = await scene({
    check: undefined,
    progress: {
      emit: (event) => {
        if (event.kind === "check") titles.push(event.title);
      },
      settled: async () => {},
    },
  });
  await t.rejects(gates.between([{ node: one, changed: 3 }]), {
    code: "VERIFY_FAILED",
    node: "controller-0",
    message: /^the first node does not pass its checks: /,
  });
  t.ok(titles.some((title) => title.startsWith("controller-0: kube-apiserver")));
});

t.test("a new controller is not checked in place of a controller that changes", async (t) => {
  const running = {
    kubernetes: [{ node: "controller-1", version: "v1.20.2" }],
    etcd: [],
    unknown: { kubernetes: [], etcd: [] },
    unread: [],
  };
  const plan = { publicAddress: "127.0.0.1", admin: { ca, certificate, key, server: "" }, running };
  const { gates, one, two, checked } = await scene({ plan });
  await gates.between([{ node: one, changed: 50 }]);
  t.strictSame(checked, []);
  await gates.last([
    { node: one, changed: 50 },
    { node: two, changed: 3 },
  ]);
  t.strictSame(checked, ["controller-1"]);
});
