/** Tests bootstrap with an unreachable machine, with a second client, and with an operator who disconnects. */
import t from "tap";

import { controllerFiles, downloading, failsWith, openScene, scenario } from "../fixtures/faults.ts";
import { nodeLine } from "../fixtures/output-lines.ts";

t.test("a second bootstrap sets up a controller that was unreachable in the first run", async (t) => {
  await using scene = await openScene(3);
  const { testbed, bootstrap, begin, node } = scene;
  const late = node(2);

  await scenario(t, "bootstrap reports an unreachable controller and sets up the other controllers", async (t) => {
    await late.disconnect();
    const result = await bootstrap();
    failsWith(t, result, "PARTIAL", [
      // The error is either a timeout or the kernel's report that no host has the address, whichever comes first.
      /^ {2}controller-2: .*agent at 10\.240\.0\.12:7443.*(did not answer in time|EHOSTUNREACH).* \(.+\)$/m,
      /^hint: .*run the command again/m,
    ]);
    for (const name of ["controller-0", "controller-1"]) {
      t.match(result.stdout, nodeLine(name, "done, \\d+ steps applied in \\d+ .*"));
      t.match(result.stdout, new RegExp(`^ok +${name} is HEALTHY`, "m"));
    }
    t.equal(
      (await scene.workstation.kubectl(["get", "namespaces"])).code,
      0,
      "the other two controllers serve the API",
    );
    await late.connect();
    t.equal((await late.run(["ls", "/usr/local/bin/kube-apiserver"])).code, 2);
  });

  const others = [node(0), node(1)];
  const processes = async (): Promise<readonly string[]> =>
    Promise.all(
      others.map((each) =>
        each.must(["systemctl", "show", "--property=Id,MainPID", "kube-apiserver", "kube-scheduler", "nginx"]),
      ),
    );
  const before = await processes();

  await testbed.mirror.clearLog();
  // The download is slow enough to last until two more clients have finished.
  await testbed.mirror.setFaults({ kind: "throttle", rate: 1_500_000, path: "kube-scheduler$" });
  const first = begin();
  await downloading(testbed, late, { of: first, ending: "/kube-scheduler" });

  await scenario(
    t,
    "a second client with a different configuration gets an error that names the running client and that client's start time",
    async (t) => {
      const second = await bootstrap("--kube-scheduler-flag", "v=3");
      failsWith(t, second, "BUSY", [
        /controller-2: the node is busy: admin from 10\.240\.0\.1:\d+ has held the machine lock since 20\d\d-\d\d-\d\dT[\d:.]+Z/,
        /wait for that operation to end, then run the command again/,
      ]);
      t.match(second.stdout, /^controller-2: an operation started by admin from 10\.240\.0\.1:\d+ at .* is running$/m);
      t.strictSame(await processes(), before, "no process on the other nodes was restarted");
    },
  );

  await scenario(t, "Ctrl-C detaches the client, the agent continues, and the same command reattaches", async (t) => {
    first.interrupt();
    const left = await first.ended;
    t.equal(left.code, 130, left.stderr);
    t.match(left.stdout, /detached: the agents continue; run the command again to reattach/);

    const { code, stdout, stderr } = await bootstrap();
    t.equal(code, 0, stderr);
    t.match(stdout, /^controller-2: an operation started by admin from 10\.240\.0\.1:\d+ at .* is running$/m);
    t.match(stdout, nodeLine("controller-2", "binary/kube-scheduler: done in .*"));
    const asked = (await testbed.mirror.log()).filter(({ path }) => path.endsWith("/kube-scheduler"));
    t.equal(asked.length, 1, "kube-scheduler was downloaded only once, because both commands used the same operation");
  });

  await scenario(
    t,
    "the late controller gets the same files as the other controllers, and no process on those controllers restarts",
    async (t) => {
      t.equal(await controllerFiles(late), await controllerFiles(node(0)));
      t.strictSame(await processes(), before);
    },
  );
});
