/**
 * Tests the rollback of a finished minor upgrade, on three machines with real programs. The rollback restores the older
 * programs and the snapshot from before the upgrade. Run this test alone, because it takes about ten minutes: tap
 * --disable-coverage --timeout=1800 test/soak/lose-since.test.ts
 */
import t, { type Test } from "tap";
import { components } from "../../proto/components.ts";
import { waitFor } from "../../proto/wait-for.ts";
import { journal, openScene, scenario } from "../fixtures/faults.ts";
import type { RunResult } from "../testbed/command.ts";

const all = ["--nodes", "controller-0,1,2"];
const [older, newer] = ["v1.20.2", "v1.21.0"];
const otherTime = "2026-01-31T12:00:00.000Z";

t.test("upgrade --back --lose-since reverts a finished minor upgrade on three machines", async (t) => {
  await using scene = await openScene(3, "", { withEtcd: false });
  const { testbed, workstation, bootstrap, start, node } = scene;
  const { nodes } = testbed;

  const khw = async (t: Test, ...args: readonly string[]): Promise<RunResult> => {
    const result = await workstation.khw([...args, ...all]);
    t.comment(`khw-client ${args.join(" ")}: ${result.code}\n${result.stdout}${result.stderr}`);
    return result;
  };
  const succeeds = async (t: Test, ...args: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await khw(t, ...args);
    t.equal(code, 0, `khw-client ${args.join(" ")}: ${stdout}${stderr}`);
    return stdout;
  };
  const write = async (name: string): Promise<void> => {
    const { code, stderr } = await workstation.kubectl(["create", "configmap", name, "--from-literal=a=b"]);
    if (code !== 0) throw new Error(stderr);
  };
  const stored = async (): Promise<string> => (await workstation.kubectl(["get", "configmaps", "-o", "name"])).stdout;
  const served = async (): Promise<string> => {
    const answers = await Promise.all(
      nodes.map((machine) => machine.must(["curl", "-sk", "https://127.0.0.1:6443/version"])),
    );
    return answers.map((text) => /"gitVersion": "(.*?)"/.exec(text)?.[1]).join(" ");
  };
  /** Returns the releases of the installed programs. */
  const installed = async (): Promise<string[]> => {
    const script = components.map((name) => `/usr/local/bin/${name} --version`).join("; ");
    const answers = await Promise.all(nodes.map((machine) => machine.must(["sh", "-c", script])));
    return [...new Set(answers.flatMap((text) => text.match(/v\d+\.\d+\.\d+/g) ?? []))];
  };
  const states = async (unit: string): Promise<string> => {
    const answers = await Promise.all(nodes.map((machine) => machine.run(["systemctl", "is-active", unit])));
    return answers.map(({ stdout }) => stdout.trim()).join(" ");
  };
  /** Upgrades the cluster, and returns the time that `upgrade --back` requires for --lose-since. */
  const upgraded = async (t: Test): Promise<string> => {
    await succeeds(t, "upgrade", "--to", newer, "--yes");
    t.equal(await served(), `${newer} ${newer} ${newer}`);
    const explained = await khw(t, "upgrade", "--back", "--yes");
    t.equal(explained.code, 69);
    const [, time] = /khw-client upgrade --back --lose-since (\S+Z)/.exec(explained.stderr) ?? [];
    if (time === undefined) throw new Error(`no command is named: ${explained.stderr}`);
    t.match(explained.stderr, /everything written since then would be lost/);
    return time;
  };
  const agentsAnswer = (): Promise<void> =>
    waitFor({
      what: "an agent does not answer",
      check: async () => {
        const { stdout } = await workstation.khw(["etcd", "status", ...all]);
        return stdout.includes("its agent does not answer") ? { seen: stdout } : { reached: undefined };
      },
      deadlineMillis: 120_000,
      intervalMillis: 500,
      signal: new AbortController().signal,
    });
  const goneBack = async (t: Test): Promise<void> => {
    t.equal(await served(), `${older} ${older} ${older}`);
    t.strictSame(await installed(), [older]);
    await succeeds(t, "verify", "--kubernetes-version", older);
    // The load balancer and the leaders may need a moment, as after any restore.
    await waitFor({
      what: "the cluster is not healthy",
      check: async () => {
        const { code, stdout } = await workstation.khw(["status", ...all]);
        return code === 0 ? { reached: undefined } : { seen: stdout };
      },
      deadlineMillis: 120_000,
      intervalMillis: 1_000,
      signal: new AbortController().signal,
    });
    await succeeds(t, "plan", "--kubernetes-version", older);
    const left = await Promise.all(
      nodes.map((machine) =>
        machine.must([
          "sh",
          "-c",
          "find /etc/systemd/system /var/lib/etcd /var/lib/khw-agent -name '*khw-resto*' -o -name 'restore-target*'",
        ]),
      ),
    );
    t.equal(left.join(""), "", "the restore leaves no temporary file behind");
  };
  t.teardown(async () => {
    if (t.passing()) return;
    process.stderr.write((await workstation.khw(["events", ...all])).stdout);
    for (const machine of nodes) process.stderr.write(`${machine.name}:\n${await journal(machine).catch(String)}`);
  });

  t.match(await bootstrap("--kubernetes-version", older), { code: 0 });
  await write("a");

  await scenario(t, "one command restores the snapshot and the older programs", async (t) => {
    const time = await upgraded(t);
    await write("b");
    const before = await states("kube-apiserver");
    const wrong = await khw(t, "upgrade", "--back", "--lose-since", otherTime, "--yes");
    t.equal(wrong.code, 64);
    t.match(wrong.stderr, new RegExp(`${otherTime}.*${time}`));
    const unasked = await khw(t, "upgrade", "--back", "--lose-since", time);
    t.match(unasked.stderr, /there is no terminal to prompt on/);
    t.equal(await states("kube-apiserver"), before);
    t.equal(
      await served(),
      `${newer} ${newer} ${newer}`,
      "every API server still serves the newer release after the refusals",
    );
    t.match(await stored(), /configmap\/b$/m);

    const begun = performance.now();
    const restored = await succeeds(t, "upgrade", "--back", "--lose-since", time, "--yes");
    t.comment(`the rollback took ${Math.round((performance.now() - begun) / 1000)} s`);
    t.match(restored, /everything written since then will be lost/);
    const names = await stored();
    t.match(names, /configmap\/a$/m);
    t.notMatch(names, /configmap\/b$/m);
    await goneBack(t);
    const again = await succeeds(t, "upgrade", "--back", "--lose-since", time, "--yes");
    t.match(again, /there is nothing to restore/);
    const events = await succeeds(t, "events");
    t.match(events, /upgrade of the cluster from v1\.21\.0 to v1\.20\.2 finished/);
  });

  await scenario(
    t,
    "the same command completes the rollback after a killed client, a killed agent and a power loss",
    async (t) => {
      const time = await upgraded(t);
      await write("c");
      const command = ["upgrade", "--back", "--lose-since", time, "--yes"];
      for (const said of [/restore\/kubernetes: done/, /restore\/data: done/]) {
        const client = start(...command, ...all);
        await client.said(said);
        client.kill();
        await client.ended;
        await node(1).run(["systemctl", "kill", "--signal=KILL", "khw-agent.service"]);
        await node(2).powerOff();
        await node(2).powerOn();
        await agentsAnswer();
        t.notMatch(await states("kube-apiserver"), /^active|\sactive/, "no API server starts by itself");
      }
      const plain = await khw(t, "etcd", "restore", "--yes");
      t.equal(plain.code, 69);
      t.match(plain.stderr, new RegExp(`khw-client upgrade --back --lose-since ${time} --yes`));
      const rolling = await khw(t, "upgrade", "--back", "--yes");
      t.equal(rolling.code, 69);
      t.match(rolling.stderr, new RegExp(`--lose-since ${time}`));
      await succeeds(t, ...command);
      const names = await stored();
      t.match(names, /configmap\/a$/m);
      t.notMatch(names, /configmap\/c$/m);
      await goneBack(t);
    },
  );
});
