import { createHash } from "node:crypto";
import t from "tap";
import { type AgentUpgrades, openAgentUpgrades } from "../../../../agent/agent-upgrade/agent-upgrade.ts";
import { installUnit, rollbackTimer, rollbackUnit } from "../../../../agent/agent-upgrade/rollback-units.ts";
import { openHistory } from "../../../../agent/history/history.ts";
import { keptPackage, packagesFolder, receivedPackage, rolledBackMark, unitFile } from "../../../../agent/paths.ts";
import { createMachineLock } from "../../../../agent/state/machine-lock.ts";
import { createStatusStore, type StatusStore } from "../../../../agent/state/status-store.ts";
import { AgentPackage, AgentUpgradeState, UpgradeAgentOutcome } from "../../../../proto/gen/khw/agent/v1/agent.ts";
import { createFakeOs, type FakeOs } from "../../../fakes/os.ts";
import { fakeDeb } from "../../../fakes/package-files.ts";

const folder = "/var/lib/khw-agent";
const states = AgentUpgradeState;
const [oldDeb, newDeb] = [fakeDeb({ version: "0.1.0" }), fakeDeb({ version: "0.2.0" })];

/** Sets the version that dpkg lists, as a completed installation would. */
function setInstalled(os: FakeOs, version: string): void {
  os.installed.set("khw-agent", version);
  const { sums }: { sums: string } = JSON.parse(fakeDeb({ version }).toString("utf8"));
  os.files.put("/var/lib/dpkg/info/khw-agent.md5sums", sums);
}

/** Creates a fake machine on which version 0.1.0 is installed, together with the package of that version. */
function machine(): FakeOs {
  const os = createFakeOs();
  setInstalled(os, "0.1.0");
  os.files.put(keptPackage, oldDeb, 0o600);
  os.files.put("/etc/systemd/system/dbus-org.freedesktop.timesync1.service", "");
  return os;
}

/** Starts an agent process. `end` aborts the agent's signal, as SIGTERM would. */
async function start(os: FakeOs) {
  const ending = new AbortController();
  const { signal } = ending;
  const { files, clock } = os;
  const statusStore = createStatusStore(undefined);
  const history = await openHistory({ files, clock, folder, log: () => {} });
  const machineLock = createMachineLock({ clock, signal });
  const lines: string[] = [];
  const log = (line: string): void => void lines.push(line);
  const upgrades = await openAgentUpgrades({ os, folder, machineLock, statusStore, history, log, signal });
  const events = async () => {
    await history.settled();
    return history.list({ sinceUnixMillis: 0 });
  };
  const end = (): void => ending.abort(new Error("SIGTERM"));
  return { upgrades, statusStore, machineLock, lines, end, events };
}

async function* chunksOf(content: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < content.length; at += 10) yield content.subarray(at, at + 10);
}

function announce(deb: Uint8Array, options: Partial<AgentPackage> = {}): AgentPackage {
  const sha256 = createHash("sha256").update(deb).digest("hex");
  return AgentPackage.fromPartial({ size: deb.length, sha256, ...options });
}

const send = (upgrades: AgentUpgrades, deb: Uint8Array, options: Partial<AgentPackage> = {}) =>
  upgrades.upgrade(announce(deb, options), chunksOf(deb), { holder: "jane", gone: new AbortController().signal });

/** Resolves when the status shows this state. */
function becomes(statusStore: StatusStore, state: AgentUpgradeState): Promise<void> {
  return new Promise((resolve) => {
    const isThere = (): boolean => statusStore.read().agentUpgrade?.state === state;
    if (isThere()) return resolve();
    const stop = statusStore.listen(() => {
      if (!isThere()) return;
      stop();
      resolve();
    });
  });
}

/** Simulates an installation. apt installs the version and restarts the agent as a new process. */
async function installs(os: FakeOs, version: string) {
  setInstalled(os, version);
  const process = await start(os);
  await os.systemd.stop(installUnit, AbortSignal.timeout(1000));
  return process;
}

interface Refusal {
  readonly code: string;
  readonly message?: RegExp;
  readonly hint?: RegExp;
}

t.test("an unsuitable package is refused and changes nothing", async (t) => {
  const refused: readonly (readonly [string, Uint8Array, Partial<AgentPackage>, Refusal])[] = [
    ["a wrong digest", newDeb, { sha256: "0".repeat(64) }, { code: "DIGEST_MISMATCH" }],
    ["not a digest", newDeb, { sha256: "x" }, { code: "INVALID_ARGUMENT" }],
    ["an empty file", Buffer.alloc(0), {}, { code: "INVALID_ARGUMENT" }],
    ["a huge file", newDeb, { size: 300 * 1024 * 1024 }, { code: "INVALID_ARGUMENT" }],
    ["more bytes than announced", newDeb, { size: 5 }, { code: "INVALID_ARGUMENT" }],
    ["not a package", Buffer.from("hello"), {}, { code: "INVALID_ARGUMENT", message: /dpkg-deb/ }],
    [
      "another package",
      fakeDeb({ name: "nginx" }),
      {},
      { code: "INVALID_ARGUMENT", message: /"nginx", not khw-agent/ },
    ],
    [
      "another architecture",
      fakeDeb({ architecture: "arm64" }),
      {},
      { code: "INVALID_ARGUMENT", message: /arm64.*amd64/ },
    ],
    ["an impossible version", fakeDeb({ version: "0.2 --x" }), {}, { code: "INVALID_ARGUMENT" }],
    ["an older version", fakeDeb({ version: "0.0.9" }), {}, { code: "RELEASE_REFUSED", hint: /--allow-downgrade/ }],
    [
      "a package with the installed version's number but different files is refused",
      fakeDeb({ version: "0.1.0", sums: "5" }),
      {},
      { code: "RELEASE_REFUSED" },
    ],
  ];
  for (const [title, deb, options, error] of refused) {
    const os = machine();
    const { upgrades, statusStore, machineLock } = await start(os);
    await t.rejects(send(upgrades, deb, options), error, title);
    t.equal(statusStore.read().agentUpgrade, undefined);
    t.notOk(os.changes().some((change) => change.startsWith("apt-get") || change.startsWith("daemon-reload")));
    t.strictSame(await os.files.list(packagesFolder), ["kept.deb"], title);
    t.equal(machineLock.holder(), undefined);
  }
});

t.test("if the package of the installed version was not kept, an upgrade requires --no-rollback", async (t) => {
  for (const kept of [
    undefined,
    fakeDeb({ version: "0.0.9" }),
    fakeDeb({ version: "0.1.0", sums: "5" }),
    Buffer.from("x"),
  ]) {
    const os = machine();
    os.files.drop(keptPackage);
    if (kept !== undefined) os.files.put(keptPackage, kept);
    const { upgrades, statusStore } = await start(os);
    const why = { code: "RELEASE_REFUSED", message: /would not be possible to roll back/, hint: /--no-rollback/ };
    await t.rejects(send(upgrades, newDeb), why);
    t.equal(statusStore.read().agentUpgrade, undefined);
    t.match(await send(upgrades, newDeb, { noRollback: true }), { upgrade: { noRollback: true } });
    t.equal(os.files.text(unitFile(rollbackTimer)), undefined, "there is no rollback timer");
    t.ok(os.changes().includes(`apt-get install ${receivedPackage}`));
  }
});

t.test("the package of the installed version is kept for a rollback", async (t) => {
  const os = machine();
  os.files.drop(keptPackage);
  const { upgrades } = await start(os);
  const { outcome } = await send(upgrades, oldDeb);
  t.equal(outcome, UpgradeAgentOutcome.UPGRADE_AGENT_OUTCOME_UNCHANGED);
  t.strictSame(os.files.text(keptPackage), oldDeb.toString("utf8"));
  t.equal((await os.files.stat(keptPackage))?.mode, 0o600);
  t.match(await send(upgrades, newDeb, { checkOnly: true }), {
    outcome: UpgradeAgentOutcome.UPGRADE_AGENT_OUTCOME_CHECKED,
  });
});

t.test("a package that was already sent for a check is not read again for the upgrade", async (t) => {
  const os = machine();
  const { upgrades, statusStore } = await start(os);
  await send(upgrades, newDeb, { checkOnly: true });
  t.equal(statusStore.read().agentUpgrade, undefined);
  t.equal((await os.files.stat(receivedPackage))?.mode, 0o600);
  const unread = async function* (): AsyncGenerator<Uint8Array> {
    t.fail("the bytes are read again");
    yield newDeb;
  };
  const call = { holder: "jane", gone: new AbortController().signal };
  const { outcome } = await upgrades.upgrade(announce(newDeb), unread(), call);
  t.equal(outcome, UpgradeAgentOutcome.UPGRADE_AGENT_OUTCOME_STARTED);
});

t.test("the new process confirms the upgrade only after it has served an administrator", async (t) => {
  const os = machine();
  const old = await start(os);
  const { outcome, upgrade, fromVersion, toVersion } = await send(old.upgrades, newDeb);
  t.equal(outcome, UpgradeAgentOutcome.UPGRADE_AGENT_OUTCOME_STARTED);
  t.match({ fromVersion, toVersion }, { fromVersion: "0.1.0", toVersion: "0.2.0" });
  t.match(upgrade, { holder: "jane", state: states.AGENT_UPGRADE_STATE_RUNNING });
  t.ok(os.changes().includes(`apt-get install ${receivedPackage}, then ${rollbackTimer}`));
  t.match(old.machineLock.holder()?.name, /agent upgrade to 0\.2\.0 that jane started/);
  await t.rejects(send(old.upgrades, newDeb), { code: "BUSY", message: /jane/ });
  t.match(
    os.files.text(unitFile(rollbackUnit)),
    /^ExecStart=\/usr\/bin\/dpkg --install --force-confdef --force-confold \/var\/lib\/khw-agent\/packages\/kept\.deb$/m,
  );
  t.match(os.files.text(unitFile(rollbackTimer)), /OnActiveSec=60\n/);
  // A call that was answered before the restart proves nothing about the new version.
  old.upgrades.answered();
  old.end();
  const { upgrades, statusStore, events } = await installs(os, "0.2.0");
  await os.systemd.start(rollbackTimer, AbortSignal.timeout(1000));
  t.equal(statusStore.read().agentUpgrade?.state, states.AGENT_UPGRADE_STATE_RUNNING);
  upgrades.answered();
  await becomes(statusStore, states.AGENT_UPGRADE_STATE_DONE);
  t.equal(os.files.text(unitFile(rollbackTimer)), undefined);
  t.equal(os.files.text(unitFile(rollbackUnit)), undefined);
  t.ok(os.changes().includes(`stop ${rollbackTimer}`));
  t.strictSame(await os.files.list(packagesFolder), ["kept.deb"]);
  t.equal(
    os.files.text(keptPackage),
    newDeb.toString("utf8"),
    "the new package is kept for a rollback of the next upgrade",
  );
  const messages = (await events()).map(({ message }) => message);
  t.match(messages, [/from 0\.1\.0 to 0\.2\.0 by jane: started/, /by jane: done/]);
  t.match(await send(upgrades, fakeDeb({ version: "0.3.0" }), { checkOnly: true }), { fromVersion: "0.2.0" });
});

t.test("a call that is served during the installation confirms the upgrade as soon as apt exits", async (t) => {
  const os = machine();
  const old = await start(os);
  await send(old.upgrades, newDeb);
  old.end();
  setInstalled(os, "0.2.0");
  const { upgrades, statusStore } = await start(os);
  upgrades.answered();
  await new Promise(setImmediate);
  t.equal(
    statusStore.read().agentUpgrade?.state,
    states.AGENT_UPGRADE_STATE_RUNNING,
    "the upgrade is still running because apt has not finished",
  );
  await os.systemd.stop(installUnit, AbortSignal.timeout(1000));
  await becomes(statusStore, states.AGENT_UPGRADE_STATE_DONE);
});

t.test("a rollback is reported with the last journal lines of the failed new agent", async (t) => {
  const os = machine();
  const old = await start(os);
  await send(old.upgrades, newDeb);
  old.end();
  setInstalled(os, "0.2.0");
  await os.systemd.stop(installUnit, AbortSignal.timeout(1000));
  // The new agent never starts. The timer triggers the rollback, which restarts the old agent before the rollback unit
  // ends.
  await os.systemd.start(rollbackUnit, AbortSignal.timeout(1000));
  setInstalled(os, "0.1.0");
  os.systemd.starts = async () => [
    ["the previous agent's own line", "Stopping khw-agent.service - khw agent..."],
    [
      "Starting khw-agent.service - khw agent...",
      "Error: cannot find module",
      "khw-agent.service: Main process exited, code=exited, status=1/FAILURE",
      "khw-agent.service: Failed with result 'exit-code'.",
      "Failed to start khw-agent.service - khw agent.",
    ],
    ["Starting khw-agent.service - khw agent...", "khw-agent.service: Deactivated successfully."],
    ["khw-agent 0.1.0 serves"],
  ];
  const { statusStore, upgrades, events } = await start(os);
  upgrades.answered();
  await new Promise(setImmediate);
  t.equal(
    statusStore.read().agentUpgrade?.state,
    states.AGENT_UPGRADE_STATE_RUNNING,
    "the upgrade is still running because apt has not ended",
  );
  os.files.put(rolledBackMark, "");
  await os.systemd.stop(rollbackUnit, AbortSignal.timeout(1000));
  await becomes(statusStore, states.AGENT_UPGRADE_STATE_ROLLED_BACK);
  t.match(statusStore.read().agentUpgrade?.report, /0\.2\.0 did not answer an administrator.*cannot find module/);
  t.strictSame(await os.files.list(packagesFolder), ["kept.deb"]);
  t.equal(os.files.text(keptPackage), oldDeb.toString("utf8"));
  t.equal(os.files.text(unitFile(rollbackTimer)), undefined);
  t.match((await events()).at(-1), { message: /rolled back/, problem: true });
});

t.test("if apt fails, the running agent reports the failure and releases the machine lock", async (t) => {
  const os = machine();
  const { upgrades, statusStore, machineLock } = await start(os);
  os.systemd.journals.set(installUnit, ["E: Held packages were changed"]);
  await send(upgrades, newDeb);
  os.systemd.crash(installUnit, "exit-code");
  await becomes(statusStore, states.AGENT_UPGRADE_STATE_FAILED);
  t.match(statusStore.read().agentUpgrade?.report, /did not install.*E: Held packages/);
  await new Promise(setImmediate);
  t.equal(machineLock.holder(), undefined);
  t.equal(os.files.text(unitFile(rollbackTimer)), undefined);
  t.match(await send(upgrades, newDeb), { outcome: UpgradeAgentOutcome.UPGRADE_AGENT_OUTCOME_STARTED });
});

t.test("an upgrade that systemd refuses to start leaves nothing behind", async (t) => {
  const os = machine();
  const { upgrades, statusStore, machineLock } = await start(os);
  os.systemd.failing.set(installUnit, "resources");
  await t.rejects(send(upgrades, newDeb), { code: "SERVICE_FAILED" });
  t.equal(statusStore.read().agentUpgrade?.state, states.AGENT_UPGRADE_STATE_FAILED);
  t.equal(os.files.text(unitFile(rollbackTimer)), undefined);
  t.equal(machineLock.holder(), undefined);
});

/** Creates a fake machine on which starting apt succeeds, but is reported as an error after `meanwhile` has run. */
function withLostReply(meanwhile: () => void): FakeOs {
  const os = machine();
  const real = os.packageFiles;
  const packageFiles: FakeOs["packageFiles"] = {
    ...real,
    beginInstall: async (path, options) => {
      await real.beginInstall(path, options);
      meanwhile();
      throw new Error("the reply was lost");
    },
  };
  return { ...os, packageFiles };
}

t.test(
  "the rollback timer keeps running if apt runs although systemd reported an error when starting it",
  async (t) => {
    const os = withLostReply(() => {});
    const { upgrades, statusStore } = await start(os);
    t.match(await send(upgrades, newDeb), { outcome: UpgradeAgentOutcome.UPGRADE_AGENT_OUTCOME_STARTED });
    t.equal(statusStore.read().agentUpgrade?.state, states.AGENT_UPGRADE_STATE_RUNNING);
    t.ok(os.files.text(unitFile(rollbackTimer)));
    const next = await installs(os, "0.2.0");
    next.upgrades.answered();
    await becomes(next.statusStore, states.AGENT_UPGRADE_STATE_DONE);
    t.equal(os.files.text(unitFile(rollbackTimer)), undefined);
  },
);

t.test(
  "if apt stops the agent during the start of apt, the rollback stays armed for the next agent process",
  async (t) => {
    let end = (): void => {};
    const os = withLostReply(() => end());
    const process = await start(os);
    ({ end } = process);
    await t.rejects(send(process.upgrades, newDeb), { message: /SIGTERM/ });
    t.ok(os.files.text(unitFile(rollbackTimer)));
    const next = await installs(os, "0.2.0");
    next.upgrades.answered();
    await becomes(next.statusStore, states.AGENT_UPGRADE_STATE_DONE);
  },
);

t.test(
  "if the agent is killed before apt starts, the restarted agent reports the failed upgrade and cleans up",
  async (t) => {
    const os = machine();
    const old = await start(os);
    await send(old.upgrades, newDeb);
    old.end();
    await os.systemd.stop(installUnit, AbortSignal.timeout(1000));
    const { statusStore } = await start(os);
    await becomes(statusStore, states.AGENT_UPGRADE_STATE_FAILED);
    t.equal(os.files.text(unitFile(rollbackUnit)), undefined);
    t.strictSame(await os.files.list(packagesFolder), ["kept.deb"]);
  },
);

t.test("an upgrade is refused while an operation is running", async (t) => {
  const { upgrades, machineLock, statusStore } = await start(machine());
  const work = Promise.withResolvers<void>();
  const running = machineLock.lock("an Apply of bob", () => work.promise);
  await t.rejects(send(upgrades, newDeb), { code: "BUSY", message: /bob/ });
  t.equal(statusStore.read().agentUpgrade, undefined);
  work.resolve();
  await running;
});

t.test("if the upgrade record is unreadable, the agent leaves the rollback timer to systemd", async (t) => {
  const os = machine();
  os.files.put(`${folder}/agent-upgrade`, Buffer.from([0x0a, 0x7f]));
  os.files.put(unitFile(rollbackTimer), "[Timer]\n");
  const { upgrades } = await start(os);
  t.match(upgrades.damage(), /agent-upgrade cannot be read/);
  t.equal(os.files.text(unitFile(rollbackTimer)), "[Timer]\n");
  t.match(await send(upgrades, newDeb), { outcome: UpgradeAgentOutcome.UPGRADE_AGENT_OUTCOME_STARTED });
});
