import { randomUUID } from "node:crypto";
import t, { type Test } from "tap";
import { KhwError } from "../../../../proto/errors.ts";
import type { Event } from "../../../../proto/gen/khw/agent/v1/agent.ts";
import type { FakeOs } from "../../../fakes/os.ts";
import { labDesired } from "../../../fixtures/machine.ts";
import { allFiles, mortal } from "../../../fixtures/mortal.ts";
import { older, newer, scene, isNewer, crashWhenNewer } from "../../../fixtures/rollback-scene.ts";

t.test("an operation interrupted by the agent's shutdown is not rolled back", async (t) => {
  const { os, apply, ending } = await scene(t);
  os.systemd.failing.get = (name) => {
    if (name !== "kube-apiserver.service" || !isNewer(os)) return undefined;
    ending.abort(new KhwError("INTERRUPTED", "the agent was stopped"));
    return "exit-code";
  };
  const { operation, kinds } = await apply(newer);
  t.notOk(kinds.includes("rollbackStarted"));
  t.match(operation, { rolledBack: undefined });
});

t.test("an operation interrupted by the agent's shutdown is rolled back if a rerun of the command fails", async (t) => {
  const id = randomUUID();
  const begin = async (t: Test) => {
    const { os, apply, ending } = await scene(t);
    crashWhenNewer(os, "kube-apiserver");
    const onEvent = ({ kind }: Event): void => {
      if (kind?.$case === "stepStarted" && kind.value.step === "service/kube-apiserver")
        ending.abort(new KhwError("INTERRUPTED", "the agent was stopped"));
    };
    t.match(await apply(newer, { id, onEvent }), { operation: { rolledBack: undefined } });
    t.ok(isNewer(os));
    return scene(t, { os, kept: null });
  };
  const same = await begin(t);
  t.match(await same.apply(newer, { id }), { operation: { rolledBack: { error: undefined } } });
  t.notOk(isNewer(same.os));

  const another = await begin(t);
  const flags = { "kube-scheduler": { set: { v: "4" }, remove: [] } };
  const { operation } = await another.apply(labDesired({ kubernetesVersion: "v1.22.0", flags }));
  t.match(operation, { rolledBack: undefined, error: { hint: /was not healthy when the operation started/ } });
});

t.test(
  "if the agent is killed at any point of a change or its rollback, a rerun produces the same files",
  async (t) => {
    const id = randomUUID();
    const begin = async (last: number) => {
      const { os, ending } = await scene(t);
      ending.abort();
      crashWhenNewer(os, "kube-apiserver");
      const { os: seen, changes } = mortal(os, last);
      const { apply, ending: end } = await scene(t, { os, seen, kept: null });
      const before = changes();
      const { operation } = await apply(newer, { id });
      end.abort();
      return { os, operation, before, changes: changes() - before };
    };
    const filesOf = async (os: FakeOs): Promise<string[]> =>
      (await allFiles(os.files)).filter((line) => !line.startsWith("/var/lib/khw-agent/"));
    const whole = await begin(Infinity);
    t.match(whole.operation, { rolledBack: { error: undefined } });
    const wanted = await filesOf(whole.os);
    t.ok(whole.changes > 40, `the operation makes more than 40 changes: ${whole.changes}`);
    for (let last = 1; last <= whole.changes; last++) {
      const { os } = await begin(whole.before + last);
      const { apply, node } = await scene(t, { os, kept: null });
      const label = `killed after change ${last}`;
      t.match(await apply(newer, { id }), { operation: { rolledBack: { error: undefined } } }, label);
      t.strictSame(await filesOf(os), wanted, label);
      t.strictSame(node.keptState.current()?.desired, older, label);
      t.equal((await os.files.stat("/var/lib/khw-agent/target"))?.mode, 0o600);
    }
  },
);
