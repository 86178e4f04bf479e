import t from "tap";
import { uncertainFirstStarts } from "../../../../client/rollout/findings.ts";
import { GetInfoResponse } from "../../../../proto/gen/khw/agent/v1/agent.ts";
import { createFakeCluster } from "../../../fakes/cluster.ts";
import { labDesiredWithEtcd } from "../../../fixtures/machine.ts";
import { labState } from "../../../fixtures/lab-cluster.ts";

const { version, mirrors, strict, dedicatedDisk } = labDesiredWithEtcd().etcd;
const managed = labState({ etcd: { version, mirrors: [...mirrors], sha256: {}, strict, dedicatedDisk } });

/**
 * Returns the findings for three nodes. Each node reports whether its member has ever started, or does not answer
 * (undefined).
 */
async function findings(begun: readonly (boolean | undefined)[], desired = managed) {
  const { members: plain } = await createFakeCluster(["controller-0", "controller-1", "controller-2"]);
  const members = plain.map(({ node }, index) => {
    const etcdBegun = begun[index];
    return etcdBegun === undefined ? { node } : { node, info: GetInfoResponse.fromPartial({ etcdBegun }) };
  });
  const work = members.flatMap(({ node, info }) =>
    info === undefined ? [] : { node, desired, maintenance: undefined },
  );
  return uncertainFirstStarts(members, work);
}

t.test("no etcd member is created while a controller that may have data does not respond", async (t) => {
  const found = await findings([false, true, undefined]);
  t.match(found, [{ code: "PREFLIGHT_FAILED", node: "controller-0", message: /controller-2/, hint: /controller-2/ }]);
  t.equal(found.length, 1);
  t.equal((await findings([false, false, undefined])).length, 2);
});

t.test(
  "a missing controller does not block existing members, and new members are created if all controllers respond",
  async (t) => {
    t.same(await findings([true, true, undefined]), []);
    t.same(await findings([false, false, false]), []);
    t.same(await findings([false, true, undefined], labState()), [], "an etcd that khw does not manage is not checked");
  },
);
