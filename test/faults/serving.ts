/**
 * Prints the failures that clients of the load balancer see. First, `restart` restarts the API servers one after the
 * other. Then, a rolling update does the same. Finally, one API server is lost.
 *
 * usage: serving.ts     (after npm run build and npm run deb)
 */
import { openScene } from "../fixtures/faults.ts";
import { loseApiServer, startLoad, tell } from "../fixtures/serving.ts";
import { succeeded } from "../testbed/command.ts";

const all = ["--nodes", "controller-0,1,2"];

await using scene = await openScene(3);
const { testbed, workstation, bootstrap, node } = scene;
const say = (text: string): void => void process.stdout.write(`${text}\n`);

succeeded(["bootstrap"], await bootstrap());
const loadOfRestart = await startLoad(testbed, { rate: 20 });
const start = performance.now();
await workstation.mustKhw(["restart", "controller-0,1,2", ...all]);
say(`rolling restart of three API servers: ${((performance.now() - start) / 1000).toFixed(1)} s`);
const report = await loadOfRestart.stop();
say(tell("  new connections", report.fresh));
say(tell("  a keep-alive connection", report.kept));

const loadOfRollout = await startLoad(testbed, { rate: 20 });
const startOfRollout = performance.now();
succeeded(["bootstrap"], await bootstrap("--kube-apiserver-flag", "v=1"));
say(`rolling update of a flag on three API servers: ${((performance.now() - startOfRollout) / 1000).toFixed(1)} s`);
const rollout = await loadOfRollout.stop();
say(tell("  new connections", rollout.fresh));
say(tell("  a keep-alive connection", rollout.kept));

const loss = await loseApiServer(testbed, node(1), { rate: 25 });
say(`one API server lost: the load balancer stops using it after ${(loss.outAfterMillis / 1000).toFixed(1)} s`);
say(`of ${loss.sent} requests ${loss.failedBefore} failed before that, ${loss.failedAfter} after`);
say(tell("  a keep-alive connection", loss.report.kept));
