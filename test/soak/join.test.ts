/**
 * Tests that a cluster grows from one controller to three under load. No request fails, and the etcd cluster stays the
 * same.
 */
import { join } from "node:path";

import t from "tap";

import { memberStatus } from "../fixtures/etcd.ts";
import { failsWith, scenario } from "../fixtures/faults.ts";
import { isOneCluster, openAlone } from "../fixtures/joining.ts";
import { missingObjects, startLoad, tell } from "../fixtures/serving.ts";

const all = ["--nodes", "controller-0,1,2"];
/** The number of new connections per second. A busy two-processor machine can handle this rate. */
const rate = 5;

t.test("a cluster grows from one controller to three under load", async (t) => {
  await using scene = await openAlone(t);
  const { testbed, workstation, node, bootstrap } = scene;
  const before = await memberStatus(node(0));

  await scenario(t, "plan names the controllers that will join and warns about an even number", async (t) => {
    const { code, stdout, stderr } = await workstation.khw(["plan", ...all]);
    t.equal(code, 2, stdout + stderr);
    for (const name of ["controller-1", "controller-2"]) t.match(stdout, `${name} joins the cluster`);
    const even = await workstation.khw(["plan", "--nodes", "controller-0,1"]);
    t.match(even.stdout, /warning: 2 controllers tolerate 0 failures/);
    const renewed = await workstation.khw(["upgrade", "--to", "v1.20.2", ...all]);
    t.not(renewed.code, 0, "upgrade refuses to add a controller");
    t.strictSame(await memberStatus(node(0)), before);
  });

  await scenario(t, "no request fails while two controllers join", async (t) => {
    const load = await startLoad(testbed, { rate });
    const { code, stdout, stderr } = await bootstrap();
    const report = await load.stop();
    t.equal(code, 0, stdout + stderr);
    t.comment(stdout);
    t.comment(tell("new connections", report.fresh));
    t.comment(tell("a keep-alive connection", report.kept));
    t.strictSame([report.fresh.failed, report.kept.failed], [[], []]);
    t.strictSame(await missingObjects(workstation, report), []);
    await isOneCluster(t, scene, before?.clusterId);
    const names = await testbed.must([
      "openssl",
      "x509",
      "-noout",
      "-ext",
      "subjectAltName",
      "-in",
      join(testbed.credentials, "kubernetes.pem"),
    ]);
    for (const { address } of testbed.nodes) t.match(names, `IP Address:${address}`);
  });

  await scenario(
    t,
    "bootstrap with a shorter list of controllers is refused, and the error names the command to use instead",
    async (t) => {
      const refused = await workstation.khw(["bootstrap", "--nodes", "controller-0,1"]);
      failsWith(t, refused, "ETCD_CONFLICT", [
        /controller-2 is a controller of this cluster/,
        /khw-client remove controller-2/,
      ]);
      t.match(await memberStatus(node(0)), { members: { length: 3 } });
    },
  );
});
