import t from "tap";
import { openKeptState } from "../../../../agent/state/desired-state.ts";
import { createFakeOs } from "../../../fakes/os.ts";
import { DriftPolicy } from "../../../../proto/gen/khw/agent/v1/agent.ts";
import { digest, labDesired } from "../../../fixtures/machine.ts";

const folder = "/var/lib/khw-agent";

t.test(
  "the desired state of an operation survives a restart unchanged, in a file that only root can read",
  async (t) => {
    const { files } = createFakeOs();
    const first = await openKeptState(files, { folder });
    t.equal(first.current(), undefined);
    const desired = labDesired({
      flags: { "kube-scheduler": { set: { v: "4" }, remove: ["config"] } },
      supervision: { driftPolicy: DriftPolicy.DRIFT_POLICY_REPORT },
      files: [{ name: "audit.yaml", sha256: digest("rules"), content: Buffer.from("rules") }],
    });
    await first.save("operation-1", desired);
    t.match(await files.stat(`${folder}/target`), { mode: 0o600 });
    const { operationId, desired: kept } = (await openKeptState(files, { folder })).current() ?? {};
    t.equal(operationId, "operation-1");
    t.same(JSON.parse(JSON.stringify(kept)), JSON.parse(JSON.stringify(desired)));
  },
);

t.test("an unreadable record counts as missing, is reported without its content, and is set aside", async (t) => {
  for (const content of ["a secret that is not a record", ""]) {
    const { files } = createFakeOs();
    files.put(`${folder}/target`, content);
    const target = await openKeptState(files, { folder });
    t.equal(target.current(), undefined);
    t.match(target.damage(), /^\/var\/lib\/khw-agent\/target cannot be read: /);
    t.notMatch(target.damage(), "secret");
    await target.save("operation-1", labDesired());
    t.equal(target.damage(), undefined);
    t.equal(files.text(`${folder}/target.damaged`), content);
    t.equal((await openKeptState(files, { folder })).current()?.operationId, "operation-1");
  }
});
