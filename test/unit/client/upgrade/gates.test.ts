import t from "tap";
import { runGate } from "../../../../client/upgrade/gate.ts";
import { gatesBetween } from "../../../../client/upgrade/gates.ts";
import { createFakeCluster } from "../../../fakes/cluster.ts";
import { never } from "../../../fixtures/machine.ts";

const options = { variables: { KHW_NODE: "controller-0" }, env: { PATH: process.env["PATH"] }, signal: never };

t.test("a gate gets the node's name, and its output is returned", async (t) => {
  t.equal(await runGate('echo "checked $KHW_NODE"; echo also >&2', options), "checked controller-0\nalso");
});

t.test("a gate that ends with another code than 0 is an error with its output", async (t) => {
  await t.rejects(runGate("echo too slow; exit 3", options), {
    code: "VERIFY_FAILED",
    message: "the gate ended with 3: too slow",
    hint: /upgrade --back/,
  });
  await t.rejects(runGate("kill -9 $$", options), {
    message: "the gate ended with signal SIGKILL: it printed nothing",
  });
});

t.test("an upgrade pauses after the wanted number of nodes", async (t) => {
  const cluster = await createFakeCluster(["controller-0", "controller-1", "controller-2"]);
  const [one, two] = cluster.members.map(({ node }) => ({ node, changed: 1 }));
  if (one === undefined || two === undefined) throw new TypeError("there are two nodes");
  const gates = gatesBetween({
    gate: "",
    pauseAfter: 2,
    context: { env: {}, signal: never },
    progress: { emit: () => {}, settled: async () => {} },
    course: { from: "v1.20.2", to: "v1.21.0", direction: "forward", unfinished: undefined },
    plan: {
      publicAddress: "127.0.0.1",
      admin: { ca: Buffer.of(), certificate: Buffer.of(), key: Buffer.of(), server: "" },
      work: [],
    },
    timeouts: { verify: 0 },
  });
  t.equal(gates.paused(), undefined);
  await t.rejects(gates.between(two, 2), { code: "SKIPPED", message: /^paused after 2 of/ });
  t.match(gates.paused(), /^paused after 2/);
  t.strictSame(gates.failures(), [], "a pause is no failure");
});
