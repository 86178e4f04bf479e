/** Changes a machine by hand. The agent detects and repairs each change without a client. */
import t, { type Test } from "tap";

import { controllerFiles, journal, openScene, scenario } from "../fixtures/faults.ts";
import type { TestbedNode } from "../testbed/index.ts";

const units = ["kube-apiserver", "kube-controller-manager", "kube-scheduler"] as const;
const unitFile = (unit: string): string => `/etc/systemd/system/${unit}.service`;
const key = "/var/lib/kubernetes/kube-scheduler.kubeconfig";

/**
 * Returns everything that a manual change could break: the files, the running processes with their flags and files, and
 * the units that start at boot.
 */
async function state(machine: TestbedNode): Promise<string> {
  const script = `for unit in ${units.join(" ")} nginx; do
      systemctl is-enabled $unit; systemctl is-active $unit
    done
    for unit in ${units.join(" ")}; do
      pid=$(systemctl show --property=MainPID --value $unit)
      tr '\\0' ' ' </proc/$pid/cmdline; cat /run/khw/$unit/started-from; [ /proc/$pid/exe -ef /usr/local/bin/$unit ] && echo its own
    done; true`;
  return (await controllerFiles(machine)) + (await machine.must(["sh", "-c", script]));
}

async function pids(machine: TestbedNode): Promise<string> {
  return machine.must(["systemctl", "show", "--property=MainPID", "--value", ...units]);
}

/** Waits until the condition is true. Returns the elapsed seconds. */
async function until(what: string, holds: () => Promise<boolean>, millis = 30_000): Promise<string> {
  const start = performance.now();
  while (!(await holds())) {
    if (performance.now() - start > millis) throw new Error(`timed out after ${millis / 1000} s waiting until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return ((performance.now() - start) / 1000).toFixed(1);
}

interface Change {
  readonly what: string;
  readonly script: string;
  /** A pattern for the agent's message about the change. */
  readonly said: RegExp;
  readonly restarts?: boolean;
}

const changes: readonly Change[] = [
  ...units.map((unit) => ({
    what: `the unit file of ${unit} is removed`,
    script: `rm ${unitFile(unit)}`,
    said: new RegExp(`^unit/${unit}: is missing: repaired`, "m"),
  })),
  {
    what: "a flag is edited",
    script: `sed -i 's/--v=2/--v=3/' ${unitFile("kube-scheduler")}`,
    said: /^unit\/kube-scheduler: its content differs: repaired/m,
  },
  {
    // The agent is stopped first. Otherwise, it would repair the file before systemd loads the change.
    what: "while the agent is stopped, a flag is edited and loaded, and the service is restarted",
    script: `systemctl stop khw-agent
      sed -i 's/--v=2/--v=3/' ${unitFile("kube-scheduler")}
      systemctl daemon-reload; systemctl restart kube-scheduler; systemctl start khw-agent`,
    said: /^service\/kube-scheduler: .*: repaired/m,
    restarts: true,
  },
  {
    what: "a program is removed",
    script: "rm /usr/local/bin/kube-scheduler",
    said: /^binary\/kube-scheduler: is missing: repaired/m,
  },
  {
    what: "a program is replaced",
    script: "cp /bin/true /usr/local/bin/.new; mv /usr/local/bin/.new /usr/local/bin/kube-scheduler",
    said: /^binary\/kube-scheduler: its content differs from the published v1\.20\.2: repaired/m,
  },
  {
    what: "a key is made readable by all users",
    script: "chmod 644 /var/lib/kubernetes/ca-key.pem",
    said: /^credential\/ca-key\.pem: its mode is 0644, not 0600: repaired/m,
  },
  {
    what: "a credential is changed",
    script: `echo >>${key}`,
    said: /^credential\/kube-scheduler\.kubeconfig: its content differs: repaired/m,
  },
  {
    what: "while the agent is stopped, a credential is changed and the service is restarted",
    script: `systemctl stop khw-agent
      echo >>${key}; systemctl restart kube-scheduler; systemctl start khw-agent`,
    said: /^service\/kube-scheduler: it was started while \S+kube-scheduler\.kubeconfig had different content: repaired/m,
    restarts: true,
  },
  {
    what: "while the agent is stopped, a unit file is edited, the service is restarted, and the original file is restored",
    script: `systemctl stop khw-agent; cp ${unitFile("kube-scheduler")} /root/own
      sed -i 's/^RestartSec=.*/&\\nLimitNOFILE=4096/' ${unitFile("kube-scheduler")}
      systemctl daemon-reload; systemctl restart kube-scheduler
      mv /root/own ${unitFile("kube-scheduler")}; systemctl daemon-reload; systemctl start khw-agent`,
    said: /^service\/kube-scheduler: it was started while \S+kube-scheduler\.service had different content: repaired/m,
    restarts: true,
  },
  {
    what: "a folder is removed",
    script: "rm -r /etc/kubernetes/config",
    said: /^config\/kube-scheduler\.yaml: is missing: repaired/m,
  },
  {
    what: "a service is disabled",
    script: "systemctl disable kube-scheduler",
    said: /^service\/kube-scheduler: it is disabled, not enabled: repaired/m,
  },
  {
    what: "nginx is disabled",
    script: "systemctl disable nginx",
    said: /^service\/nginx: it is disabled, not enabled: repaired/m,
  },
  {
    what: "nginx's link is deleted",
    script: "rm /etc/nginx/sites-enabled/kubernetes.default.svc.cluster.local",
    said: /^nginx\/link: is missing: repaired/m,
  },
];

async function mended(t: Test, machine: TestbedNode, { what, script, said, restarts = false }: Change): Promise<void> {
  const [wanted, before] = await Promise.all([state(machine), pids(machine)]);
  const saidBefore = (await journal(machine)).length;
  await machine.must(["sh", "-ec", script]);
  const seconds = await until(`the agent reports the repair (${what})`, async () =>
    said.test((await journal(machine)).slice(saidBefore)),
  );
  t.comment(`${what}: repaired after ${seconds} s`);
  await until(`the machine is back in its former state (${what})`, async () => (await state(machine)) === wanted);
  t.equal(
    (await pids(machine)) === before,
    !restarts,
    restarts ? "a process was restarted" : "no process was restarted",
  );
}

t.test("the agent handles manual changes to a machine", async (t) => {
  await using scene = await openScene(1);
  const { bootstrap, node } = scene;
  const machine = node(0);
  const first = await bootstrap();
  t.equal(first.code, 0, first.stderr);

  await scenario(t, "the agent repairs each manual change", async (t) => {
    for (const change of changes) await mended(t, machine, change);
  });

  await scenario(
    t,
    "after a reboot, the agent restores the machine's state and repairs new drift without a client",
    async (t) => {
      const wanted = await state(machine);
      await machine.powerOff();
      await machine.powerOn();
      const seconds = await until("the agent and all components are active", async () => {
        return (await machine.run(["systemctl", "is-active", "khw-agent", ...units, "nginx"])).code === 0;
      });
      t.comment(`the agent and all components are active ${seconds} s after the boot`);
      await until("the machine is back in its former state", async () => (await state(machine)) === wanted);
      await mended(t, machine, {
        what: "a flag is edited after a boot",
        script: `sed -i 's/--v=2/--v=3/' ${unitFile("kube-controller-manager")}`,
        said: /^unit\/kube-controller-manager: its content differs: repaired/m,
      });
    },
  );

  await scenario(
    t,
    "if khw.yaml contains drift: report, the agent reports drift exactly once and does not repair the drift",
    async (t) => {
      const folder = scene.workstation.folder;
      await scene.testbed.must(["sh", "-c", `printf 'supervision:\\n  drift: report\\n' >>${folder}/khw.yaml`]);
      const again = await bootstrap();
      t.equal(again.code, 0, again.stderr);
      const wanted = await state(machine);
      await machine.must(["sed", "-i", "s/--v=2/--v=3/", unitFile("kube-scheduler")]);
      const said = /^unit\/kube-scheduler: its content differs$/gm;
      const seconds = await until("the drift is reported", async () => said.test(await journal(machine)));
      t.comment(`reported after ${seconds} s`);
      t.not(await state(machine), wanted);
      await machine.must(["sed", "-i", "s/--v=3/--v=2/", unitFile("kube-scheduler")]);
      await until("the agent reports that the drift has ended", async () =>
        /^unit\/kube-scheduler: is in the desired state again$/m.test(await journal(machine)),
      );
      t.equal((await journal(machine)).match(said)?.length, 1);
    },
  );
});
