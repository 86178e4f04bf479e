import t from "tap";

import { faults } from "../../faults/faults.ts";
import { ailments, type View } from "../../faults/watch.ts";
import { Component, DriftStatus, Health } from "../../../proto/gen/khw/agent/v1/agent.ts";

const component = (name: string, change: Partial<Component> = {}): [string, Component] => [
  name,
  Component.fromPartial({ name, enabled: true, health: Health.HEALTH_HEALTHY, ...change }),
];
const well: View = { components: new Map([component("nginx")]), drift: undefined, at: 0 };

t.test(
  "a node is healthy only if it responds, all components are healthy and enabled, and there is no drift",
  async (t) => {
    t.strictSame(ailments(well), []);
    t.match(ailments({ ...well, lost: "no connection" }), [/no connection/]);
    t.match(ailments({ ...well, components: new Map() }), [/no component/]);
    const ill = component("nginx", { health: Health.HEALTH_UNHEALTHY, reason: "it is failed" });
    t.strictSame(ailments({ ...well, components: new Map([ill]) }), ["nginx: it is failed"]);
    t.strictSame(ailments({ ...well, components: new Map([component("nginx", { enabled: false })]) }), [
      "nginx: is not enabled",
    ]);
    const drift = DriftStatus.fromPartial({ steps: [{ id: "nginx/link", drift: "is missing" }] });
    t.strictSame(ailments({ ...well, drift }), ["nginx/link: is missing"]);
  },
);

t.test("every fault has a unique name and at least one component or step by which it is detected", async (t) => {
  t.equal(new Set(faults.map(({ name }) => name)).size, faults.length);
  t.ok(faults.every(({ about }) => about.length > 0));
});
