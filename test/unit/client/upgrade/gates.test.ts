import t from "tap";
import { createAuthority, issue } from "../../../../client/pki/management/issue.ts";
import { runGate } from "../../../../client/upgrade/gate.ts";
import { gatesBetween } from "../../../../client/upgrade/gates.ts";
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

t.test("an upgrade pauses after the requested number of changed nodes", async (t) => {
  const cluster = await createFakeCluster(["controller-0", "controller-1"]);
  const [one, two] = cluster.members.map(({ node }) => node);
  if (one === undefined || two === undefined) throw new TypeError("there are two nodes");
  const checked: string[] = [];
  const gates = gatesBetween({
    gate: "",
    pauseAfter: 1,
    context: { env: {}, signal: never },
    progress: {
      emit: (event) => {
        if (event.kind === "check") checked.push(event.title);
      },
      settled: async () => {},
    },
    course: { from: "v1.20.2", to: "v1.21.0", direction: "forward", unfinished: undefined },
    plan: { publicAddress: "127.0.0.1", admin: { ca, certificate, key, server: "" } },
    timeouts: { verify: 0 },
  });
  await gates.between({ node: one, changed: 0 });
  t.strictSame([gates.paused(), checked], [undefined, []], "an unchanged node does not count as the first node");
  await t.rejects(gates.between({ node: two, changed: 3 }), {
    code: "VERIFY_FAILED",
    node: "controller-1",
    message: /^the first node does not pass its checks: /,
  });
  t.ok(checked.some((title) => title.startsWith("controller-1: kube-apiserver")));
  t.equal(gates.failures().length, 1);
  t.equal(gates.paused(), undefined, "a failed check is not reported as a pause");
});
