/**
 * Provokes a crash loop for each cause. The real program runs under systemd with a real configuration mistake. The
 * agent's code must identify the cause.
 */
import t from "tap";

import { makeController } from "../fixtures/causes/machine.ts";
import { mistakes } from "../fixtures/causes/mistakes.ts";
import { installProvoker, provoke } from "../fixtures/causes/provoke.ts";
import { startTestbed } from "../testbed/index.ts";

const testbed = await startTestbed({ nodes: 1 });
t.teardown(() => testbed.stop());
const [node] = testbed.nodes;
if (node === undefined) throw new Error("the testbed has no machine");

const [drive] = await Promise.all([installProvoker(node), makeController(testbed, node)]);
await node.must(["sh", "-ec", "systemctl daemon-reload; systemctl start kube-apiserver"]);
const verdicts = await provoke(node, drive, mistakes);

for (const [index, { name, cause, component, line, says }] of mistakes.entries()) {
  t.test(`${component}: ${name ?? cause}`, (t) => {
    const verdict = verdicts[index];
    if (verdict === undefined) throw new Error("no verdict");
    const { diagnosis, endedMillis, diagnoseMillis } = verdict;
    t.equal(diagnosis.cause, cause);
    t.match(diagnosis.lines.join("\n"), line, "the evidence includes the log line that shows the cause");
    t.match(`${diagnosis.message}\n${diagnosis.remedy}`, says, "the message and the remedy contain the expected text");
    t.notMatch(`${diagnosis.message}${diagnosis.remedy}`, /[{}]|undefined/, "every placeholder is replaced");
    t.comment(`ended after ${(endedMillis / 1000).toFixed(1)} s, diagnosed in ${Math.round(diagnoseMillis)} ms`);
    t.end();
  });
}

t.test("the mistakes cover at least 24 different causes", (t) => {
  t.ok(new Set(mistakes.map(({ cause }) => cause)).size >= 24);
  t.end();
});
