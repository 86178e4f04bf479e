/**
 * Kills the agent after each of its changes to a machine. The next run must end with the same files as an uninterrupted
 * run.
 */
import t from "tap";

import { controllerSteps } from "../../../agent/steps.ts";
import { hasControlPlane } from "../../../agent/steps/control-plane.ts";
import type { FakeOs } from "../../fakes/os.ts";
import { programs } from "../../../proto/components.ts";
import { applyAll, etcdRelease, labDesiredWithEtcd, labMachine, planAll } from "../../fixtures/machine.ts";
import { allFiles, mortal } from "../../fixtures/mortal.ts";

function bareMachine(): FakeOs {
  const os = labMachine();
  for (const one of os.etcd.members) one.started = false;
  etcdRelease(os, "v3.4.99");
  os.answers.set("https://127.0.0.1:2379/health", { status: 200, body: '{"health":"true"}' });
  const start = os.systemd.start.bind(os.systemd);
  os.systemd.start = async (name, signal) => {
    if (name === "etcd.service") os.files.put("/var/lib/etcd/member/wal/0.wal", "etcd's own");
    await start(name, signal);
  };
  return os;
}

/** Returns the lab's desired state with a digest for each program, as khw-client sends it. */
function pinned(): ReturnType<typeof labDesiredWithEtcd> {
  const desired = labDesiredWithEtcd();
  const { kubernetesVersion: version, binaries } = desired;
  const { mirror } = labMachine();
  const digests = programs.map((program) => {
    const text = String(mirror.get(`${version}/bin/linux/amd64/${program}.sha256`));
    return [program, text.slice(0, 64)] as const;
  });
  return { ...desired, binaries: { ...binaries, sha256: Object.fromEntries(digests) } };
}

/** Returns the steps that an agent's operation would run on the machine in its current state. */
async function stepsOn(os: FakeOs, desired: ReturnType<typeof labDesiredWithEtcd>) {
  return controllerSteps(desired, { drained: false, isFresh: !(await hasControlPlane(os)) });
}

for (const [given, desired] of [
  ["the mirror's digests", labDesiredWithEtcd()],
  ["the digests of khw.lock", pinned()],
] as const) {
  const steps = controllerSteps(desired, { drained: false });

  t.test(`steps that are killed after any change and then rerun produce the same files, with ${given}`, async (t) => {
    const machine = bareMachine();
    t.strictSame((await applyAll(steps, machine)).errors, []);
    const wanted = await allFiles(machine.files);
    const { os, changes } = mortal(bareMachine(), Infinity);
    t.strictSame((await applyAll(await stepsOn(bareMachine(), desired), os)).errors, []);
    t.ok(changes() > 80, `the run makes more than 80 changes: ${changes()}`);

    for (let last = 1; last <= changes(); last++) {
      const machine = bareMachine();
      const first = await stepsOn(machine, desired);
      t.not(
        (await applyAll(first, mortal(machine, last).os)).errors.length,
        0,
        `the run fails because the agent was killed after change ${last}`,
      );
      const label = `killed after change ${last}`;
      t.strictSame((await applyAll(await stepsOn(machine, desired), machine)).errors, [], label);
      t.strictSame(await allFiles(machine.files), wanted, label);
      t.strictSame(await planAll(steps, machine), {}, label);
    }
  });
}
