/** Tests whether requests through the load balancer fail while API servers stop and start. */
import t from "tap";

import { openScene, scenario } from "../fixtures/faults.ts";
import { loseApiServer, startLoad, tell } from "../fixtures/serving.ts";
import { laterVersion } from "../testbed/workstation.ts";

const all = ["--nodes", "controller-0,1,2"];
const rate = 20;

t.test("three API servers keep serving during drains, restarts and the loss of one server", async (t) => {
  await using scene = await openScene(3, "", { version: laterVersion });
  const { testbed, workstation, bootstrap, node } = scene;
  const first = await bootstrap();
  t.equal(first.code, 0, first.stderr);

  await scenario(t, "drain is refused if no node would be left to serve traffic", async (t) => {
    const refused = await workstation.khw(["drain", "controller-0,1,2", ...all]);
    t.equal(refused.code, 69, refused.stdout);
    t.match(refused.stderr, /no other node would be left to serve traffic: the cluster has no other node/);
    const { code, stdout, stderr } = await workstation.khw(["diff", ...all]);
    t.strictSame([code, stdout], [0, ""], stderr);
  });

  await scenario(t, "restart drains each node first, so that no write fails", async (t) => {
    const pid = (): Promise<string> => node(1).must(["systemctl", "show", "-P", "MainPID", "kube-apiserver"]);
    const before = await pid();
    const load = await startLoad(testbed, { rate });
    const { code, stdout, stderr } = await workstation.khw(["restart", "controller-0,1,2", ...all]);
    const report = await load.stop();
    t.comment(tell("new connections", report.fresh));
    t.comment(tell("a keep-alive connection", report.kept));
    t.equal(code, 0, stdout + stderr);
    t.match(
      stdout,
      /^controller-1: drain: .*\ncontroller-1: drain: done in [\d.]+ s\ncontroller-1: restart\/kube-apiserver/m,
    );
    t.strictSame([report.fresh.failed, report.kept.failed], [[], []]);
    t.ok(report.fresh.sent > 200, `more than 200 writes were sent: ${report.fresh.sent}`);
    t.not(await pid(), before, "the API server was restarted");
  });

  await scenario(
    t,
    "after the loss of an API server, requests fail only until the health check detects the loss",
    async (t) => {
      const loss = await loseApiServer(testbed, node(1), { rate: 25 });
      t.comment(
        `the lost server is no longer used after ${(loss.outAfterMillis / 1000).toFixed(1)} s; of ${loss.sent} requests, ${loss.failedBefore} failed before that, ${loss.failedAfter} after`,
      );
      t.comment(tell("a keep-alive connection", loss.report.kept));
      t.ok(loss.failedBefore > 0, "requests failed, so the load had reached the lost node");
      t.equal(loss.failedAfter, 0);
      const refused = await workstation.khw(["drain", "controller-0,2", ...all]);
      t.equal(refused.code, 69, "a drain of the remaining nodes is refused");
      t.match(refused.stderr, /controller-1 cannot be reached/);
    },
  );
});
