import t from "tap";
import { kmsFinding } from "../../../../agent/preflight/kms.ts";
import { renderKubeApiserver } from "../../../../agent/render/kube-apiserver.ts";
import { controllerSteps } from "../../../../agent/steps.ts";
import { kmsPlugin } from "../../../../agent/steps/kms.ts";
import { applySteps } from "../../../../proto/step.ts";
import { createFakeOs, type FakeOs } from "../../../fakes/os.ts";
import { labDesired, never } from "../../../fixtures/machine.ts";

const [unit, socket] = ["vault-kms.service", "/run/kms/socket"];
const desired = labDesired({ kms: { unit, socket } });
const [step] = kmsPlugin(desired);
if (step === undefined) throw new TypeError("there is no step");

async function machine({ installed = true, started = true, listens = true } = {}): Promise<FakeOs> {
  const os = createFakeOs();
  if (installed) os.files.put(`/lib/systemd/system/${unit}`, "[Service]\nExecStart=/usr/bin/vault-kms\n");
  if (started) await os.systemd.start(unit, never);
  // The fake has no sockets. The step accepts a link, because a link may point to a socket.
  await os.files.mkdir("/run/kms", 0o755);
  if (listens) await os.files.symlink("/run/kms/other", socket);
  return os;
}

t.test("a plugin that is running and has its socket needs no change", async (t) => {
  const os = await machine();
  t.equal(await step.check(os, never), null);
  t.equal(await kmsFinding(desired, os), null);
  t.equal(await kmsFinding(labDesired(), createFakeOs()), null, "nothing is checked if no KMS plugin is configured");
});

t.test("each fault is reported with the name of the unit or socket, and with a remedy", async (t) => {
  const cases = [
    [
      { installed: false, started: false },
      /vault-kms\.service of the KMS plugin does not exist.*\/run\/kms\/socket/,
      /install/,
    ],
    [{ started: false }, /vault-kms\.service is inactive/, /systemctl start vault-kms\.service/],
    [
      { listens: false },
      /the socket \/run\/kms\/socket of the KMS plugin vault-kms\.service does not exist/,
      /journalctl -u/,
    ],
  ] as const;
  for (const [situation, summary, remedy] of cases) {
    const os = await machine(situation);
    const before = os.changes().length;
    t.match(await step.check(os, never), { summary, remedy });
    t.match(await kmsFinding(desired, os), { code: "PREFLIGHT_FAILED", message: summary, hint: remedy });
    const [result] = await applySteps([{ ...step, needs: [] }], os, { signal: never, emit: () => {} });
    t.equal(result?.outcome, "reported");
    t.equal(os.changes().length, before, "a plugin that somebody has stopped is not started");
  }
});

t.test("a plugin that has failed is started again", async (t) => {
  const os = await machine();
  os.systemd.crash(unit, "exit-code");
  t.match(await step.check(os, never), { summary: "the KMS plugin vault-kms.service has failed (exit-code)" });
  t.match(await kmsFinding(desired, os), { hint: /systemctl reset-failed vault-kms\.service/ });
  const [result] = await applySteps([{ ...step, needs: [] }], os, { signal: never, emit: () => {} });
  t.equal(result?.outcome, "changed");
  t.ok(os.systemd.changes.includes(`start ${unit}`));
});

t.test(
  "systemd starts the plugin before the API server, and the API server's step waits for the plugin's step",
  (t) => {
    const text = renderKubeApiserver(desired);
    t.equal(
      text.replace(`Wants=${unit}\nAfter=${unit}\n`, ""),
      renderKubeApiserver(labDesired()),
      "the plugin changes nothing else in the unit file",
    );
    t.not(text, renderKubeApiserver(labDesired()));
    const needs = controllerSteps(desired, { drained: false }).find(({ id }) => id === "service/kube-apiserver")?.needs;
    t.ok(needs?.includes("kms/plugin"));
    t.end();
  },
);
