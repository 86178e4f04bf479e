import t from "tap";
import { controllerSteps } from "../../../../agent/steps.ts";
import { resetSteps } from "../../../../agent/reset/steps.ts";
import type { ConfigFile } from "../../../../proto/gen/khw/agent/v1/agent.ts";
import { applyAll, digest, labDesired, labMachine, planAll } from "../../../fixtures/machine.ts";

const folder = "/etc/kubernetes/config";

function named(name: string, text: string): ConfigFile {
  return { name, sha256: digest(text), content: Buffer.from(text) };
}

function stepsWith(files: readonly ConfigFile[], flags: Readonly<Record<string, string>> = {}) {
  const set = { set: { ...flags }, remove: [] };
  return controllerSteps(labDesired({ files: [...files], flags: { "kube-apiserver": set } }), { drained: false });
}

const auditFlag = { "audit-policy-file": `${folder}/audit.yaml` };
const restarts = (changes: readonly string[]) => changes.filter((change) => /^(re)?start /.test(change));

t.test("only root can read a configured file, and nothing is added if no files are configured", async (t) => {
  const os = labMachine();
  await applyAll(stepsWith([]), os);
  t.equal(await os.files.stat("/var/lib/khw-agent/config-files"), undefined);
  t.strictSame((await os.files.list(folder)).toSorted(), ["kube-scheduler.yaml"]);
  t.strictSame((await applyAll(stepsWith([named("audit.yaml", "rules")], auditFlag), os)).errors, []);
  t.equal(os.files.text(`${folder}/audit.yaml`), "rules");
  t.match(await os.files.stat(`${folder}/audit.yaml`), { mode: 0o600, uid: 0, gid: 0 });
});

t.test("a change to a file restarts only the component that uses it", async (t) => {
  const os = labMachine();
  const flags = { "kube-controller-manager": { set: { "node-eviction-config": `${folder}/one` }, remove: [] } };
  const steps = (text: string) =>
    controllerSteps(labDesired({ flags, files: [named("one", text), named("one.more", "x")] }), { drained: false });
  await applyAll(steps("a"), os);
  const before = os.systemd.changes.length;
  await applyAll(steps("b"), os);
  t.strictSame(restarts(os.systemd.changes.slice(before)), ["restart kube-controller-manager.service"]);
});

t.test(
  "a change to a file that no flag names restarts the API server, because another file may refer to that file",
  async (t) => {
    const os = labMachine();
    await applyAll(stepsWith([named("limits.yaml", "a")]), os);
    const before = os.systemd.changes.length;
    await applyAll(stepsWith([named("limits.yaml", "b")]), os);
    t.strictSame(restarts(os.systemd.changes.slice(before)), ["restart kube-apiserver.service"]);
  },
);

t.test("a changed or missing file is detected and repaired, and its content is never shown", async (t) => {
  const os = labMachine();
  const steps = stepsWith([named("audit.yaml", "rules")], auditFlag);
  await applyAll(steps, os);
  t.strictSame(await planAll(steps, os), {});
  os.files.put(`${folder}/audit.yaml`, "changed", 0o644);
  t.strictSame(await planAll(steps, os), { "config/audit.yaml": "its content differs" });
  await os.files.remove(`${folder}/audit.yaml`);
  t.strictSame(await planAll(steps, os), { "config/audit.yaml": "is missing" });
  await applyAll(steps, os);
  t.equal(os.files.text(`${folder}/audit.yaml`), "rules");
  t.notOk("text" in (steps.find(({ id }) => id === "config/audit.yaml") ?? { text: "" }));
});

t.test(
  "a file that is no longer configured is removed after the component restarts, and foreign files are kept",
  async (t) => {
    const os = labMachine();
    os.files.put(`${folder}/own.yaml`, "somebody else's");
    await applyAll(stepsWith([named("audit.yaml", "a"), named("more.yaml", "b")], auditFlag), os);
    const fewer = stepsWith([named("more.yaml", "b")]);
    t.equal((await planAll(fewer, os))["config-files/removed"], `${folder}/audit.yaml must be removed`);
    t.strictSame((await applyAll(fewer, os)).errors, []);
    t.strictSame((await os.files.list(folder)).toSorted(), ["kube-scheduler.yaml", "more.yaml", "own.yaml"]);
    t.strictSame(await planAll(fewer, os), {});
    t.strictSame((await applyAll(stepsWith([]), os)).errors, []);
    t.strictSame((await os.files.list(folder)).toSorted(), ["kube-scheduler.yaml", "own.yaml"]);
  },
);

t.test("a file that is no longer configured is kept as long as a flag names the file", async (t) => {
  const os = labMachine();
  await applyAll(stepsWith([named("audit.yaml", "a")], auditFlag), os);
  const onlyFlag = stepsWith([], auditFlag);
  t.strictSame((await applyAll(onlyFlag, os)).errors, []);
  t.equal(os.files.text(`${folder}/audit.yaml`), "a");
  t.strictSame(await planAll(onlyFlag, os), {});
  t.strictSame((await applyAll(stepsWith([]), os)).errors, []);
  t.strictSame(await os.files.list(folder), ["kube-scheduler.yaml"]);
});

t.test(
  "a file that is no longer configured is kept if the component cannot be restarted without the file",
  async (t) => {
    const os = labMachine();
    await applyAll(stepsWith([named("audit.yaml", "a")], auditFlag), os);
    const restart: typeof os.systemd.restart = async (unit, signal) => {
      if (unit === "kube-apiserver.service") throw new Error("no restart");
      return os.systemd.restart(unit, signal);
    };
    const failing = { ...os, systemd: { ...os.systemd, restart } };
    t.equal((await applyAll(stepsWith([]), failing)).errors.length, 1);
    t.equal(os.files.text(`${folder}/audit.yaml`), "a");
  },
);

t.test("a reset removes the files that khw has written, and no others", async (t) => {
  const os = labMachine();
  await applyAll(stepsWith([named("audit.yaml", "a")], auditFlag), os);
  os.files.put(`${folder}/own.yaml`, "somebody else's");
  await applyAll(resetSteps({ ownsEtcd: false, purge: false }), os);
  t.strictSame(await os.files.list(folder), ["own.yaml"]);
});
