/**
 * Kills one agent and cuts another machine's power in the middle of an operation. Both machines come back, report the
 * interruption, and converge.
 */
import t from "tap";

import { controllerFiles, downloading, failsWith, openScene, scenario, temporaries } from "../fixtures/faults.ts";
import { nodeLine } from "../fixtures/output-lines.ts";

t.test("bootstrap recovers from an agent crash and a power loss during apply", async (t) => {
  await using scene = await openScene(3);
  const { testbed, workstation, bootstrap, begin, node } = scene;
  const [well, killed, unplugged] = [node(0), node(1), node(2)];

  await scenario(
    t,
    "after an agent crash and a power loss, bootstrap names both nodes and sets up the third node",
    async (t) => {
      // The download is slow enough to be interrupted halfway, but fast enough to keep the third machine's wait short.
      await testbed.mirror.setFaults({ kind: "throttle", rate: 12_000_000, path: "kube-controller-manager$" });
      const running = begin();
      const middle = { of: running, ending: "/kube-controller-manager" };
      await Promise.all([killed, unplugged].map((each) => downloading(testbed, each, middle)));
      await killed.must(["systemctl", "kill", "--signal=KILL", "--kill-whom=main", "khw-agent.service"]);
      // A machine without power sends nothing, not even packets that close its connections.
      await unplugged.disconnect();
      await unplugged.powerOff();

      const result = await running.ended;
      failsWith(t, result, "PARTIAL", [
        /^ {2}controller-1(, controller-2)?: \S+: the connection to the agent was lost at ".+": .* \(.*run the command again.*\)$/m,
        /^ {2}(controller-1, )?controller-2: \S+: the connection to the agent was lost at ".+": .* \(.*run the command again.*\)$/m,
      ]);
      t.match(result.stdout, nodeLine("controller-0", "done, \\d+ steps applied in \\d+ .*"));
      t.match(result.stdout, /^ok +controller-0 is HEALTHY/m);
      await testbed.mirror.setFaults();
    },
  );

  await scenario(t, "no partially downloaded program is installed on the two interrupted nodes", async (t) => {
    await unplugged.connect();
    await unplugged.powerOn();
    await unplugged.must(["systemctl", "start", "khw-agent.service", "etcd.service"]);
    for (const machine of [killed, unplugged]) {
      t.equal((await machine.run(["ls", "/usr/local/bin/kube-controller-manager"])).code, 2, machine.name);
      t.match(
        await temporaries(machine),
        "/.kube-controller-manager.khw-new",
        "the partial download still has a temporary name",
      );
    }
  });

  await scenario(
    t,
    "both nodes report the interrupted operation, and running the same command again completes the operation",
    async (t) => {
      t.match(
        (await workstation.khw(["status", "--nodes", "controller-0,1,2", "--output", "json"])).stdout,
        /INTERRUPTED|interrupted/,
      );
      const { code, stdout, stderr } = await bootstrap();
      t.equal(code, 0, stderr);
      for (const { name } of [killed, unplugged]) {
        t.match(
          stdout,
          new RegExp(
            `^${name}: the operation started by admin from 10\\.240\\.0\\.1:\\d+ at \\S+Z was interrupted; `,
            "m",
          ),
        );
      }
      t.match(stdout, nodeLine("controller-0", "nothing to do"));
    },
  );

  await scenario(t, "both nodes have the same files as the third node, and no temporary files are left", async (t) => {
    const wanted = await controllerFiles(well);
    for (const machine of [killed, unplugged]) {
      t.equal(await controllerFiles(machine), wanted, machine.name);
      t.equal(await temporaries(machine), "", machine.name);
    }
  });
});
