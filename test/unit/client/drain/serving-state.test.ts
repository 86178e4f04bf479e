import t from "tap";

import { readStatesBeforeDrain, serves } from "../../../../client/drain/serving-state.ts";
import { createFakeCluster } from "../../../fakes/cluster.ts";
import { never } from "../../../fixtures/machine.ts";

/**
 * Reads the states before controller-1 is drained. Returns which controllers serve, and how often the health of
 * controller-0 was used.
 */
async function readBeforeDrain(healthy: (use: number) => boolean, hangs: boolean) {
  const cluster = await createFakeCluster(["controller-0", "controller-1"]);
  let uses = 0;
  const well = (): boolean => {
    uses += 1;
    return healthy(uses);
  };
  Object.defineProperty(Object.assign(cluster.nodes[0] ?? {}, { hangs, stuck: "HEALTHY" }), "well", { get: well });
  const standings = await readStatesBeforeDrain(cluster, "controller-1", never);
  return { serving: standings.filter(serves).map(({ name }) => name), uses };
}

t.test("one failed probe of the only other API server does not make this node the only serving node", async (t) => {
  // Each read of the states uses the value more than once.
  const { serving } = await readBeforeDrain((use) => use > 3, true);
  t.strictSame(serving, ["controller-0", "controller-1"]);
});

t.test("nothing is read again if another node serves, or if no other API server is running", async (t) => {
  const { serving, uses } = await readBeforeDrain(() => true, false);
  t.strictSame(serving, ["controller-0", "controller-1"]);
  const down = await readBeforeDrain(() => false, false);
  t.strictSame(down.serving, ["controller-1"]);
  t.equal(down.uses, uses, "one read in both cases");
});
