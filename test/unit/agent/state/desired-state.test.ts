import t from "tap";
import { openTarget } from "../../../../agent/state/desired-state.ts";
import { createFakeOs } from "../../../fakes/os.ts";
import { DriftPolicy } from "../../../../proto/gen/khw/agent/v1/agent.ts";
import { labDesired } from "../../../fixtures/machine.ts";

const folder = "/var/lib/khw-agent";

t.test("what an operation established is there after a restart, whole, and for root alone", async (t) => {
  const { files } = createFakeOs();
  const first = await openTarget(files, { folder, log: (line) => void t.fail(line) });
  t.equal(first.current(), undefined);
  const desired = labDesired({
    flags: { "kube-scheduler": { set: { v: "4" }, remove: ["config"] } },
    supervision: { driftPolicy: DriftPolicy.DRIFT_POLICY_REPORT },
  });
  await first.adopt("operation-1", desired);
  t.match(await files.stat(`${folder}/target`), { mode: 0o600 });
  const { operationId, desired: kept } =
    (await openTarget(files, { folder, log: (line) => void t.fail(line) })).current() ?? {};
  t.equal(operationId, "operation-1");
  t.same(JSON.parse(JSON.stringify(kept)), JSON.parse(JSON.stringify(desired)));
});

t.test("a record that this version does not accept counts as none, and is told of without its content", async (t) => {
  const { files } = createFakeOs();
  const lines: string[] = [];
  files.put(`${folder}/target`, "a secret that is no record");
  t.equal((await openTarget(files, { folder, log: (line) => lines.push(line) })).current(), undefined);
  t.match(lines, [/cannot be used/]);
  t.notMatch(lines.join(), "secret");
});
