import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { build } from "esbuild";
import t from "tap";
import type { UnitStatus } from "../../agent/os/systemd.ts";
import type { Call, Outcome } from "../fixtures/os-driver.ts";
import { startTestbed } from "../testbed/index.ts";

const testbed = await startTestbed({ nodes: 1, withEtcd: false });
t.teardown(() => testbed.stop());
const node = only(testbed.nodes);

function only<Value>([value]: readonly (Value | undefined)[]): Value {
  if (value === undefined) throw new Error("the testbed has no machine");
  return value;
}

const bundle = join(t.testdir(), "driver.mjs");
await build({
  entryPoints: [join(import.meta.dirname, "../fixtures/os-driver.ts")],
  outfile: bundle,
  bundle: true,
  platform: "node",
  format: "esm",
  banner: { js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);' },
});
await node.copyIn(process.execPath, "/opt/khw-test/node");
await node.copyIn(bundle, "/opt/khw-test/driver.mjs");

/** Makes all of the calls on the machine, in a single process. */
async function make<Result>(...calls: readonly Call[]): Promise<readonly Outcome<Result>[]> {
  // `env -i` removes the Node options that tap sets for every process of a test.
  const driver = ["env", "-i", "/opt/khw-test/node", "/opt/khw-test/driver.mjs"];
  return JSON.parse(await node.must([...driver, JSON.stringify(calls)]));
}

const systemd = (method: string, ...args: readonly unknown[]): Call => ({ adapter: "systemd", method, args });
const packages = (method: string, ...args: readonly unknown[]): Call => ({ adapter: "packages", method, args });

async function statusOf(name: string): Promise<UnitStatus> {
  const outcomes = await make<UnitStatus>(systemd("unit", name));
  return only(outcomes.map(({ result }) => result));
}

async function journalOf(name: string): Promise<readonly string[]> {
  const outcomes = await make<string[]>(systemd("journal", name, 10));
  return only(outcomes.map(({ result }) => result));
}

/**
 * Resolves when the unit's journal contains the given number of lines with the given text. The lines reach the journal
 * some time after the program has exited. `--unit` misses a line from systemd's child process if the child exits before
 * the journal looks up the child's unit.
 */
async function written(name: string, words: string, times = 1): Promise<void> {
  const matches = '"_SYSTEMD_UNIT=$0" + "UNIT=$0" _UID=0';
  const script = `exec 3< <(exec journalctl --follow --lines=all --output=cat ${matches}); follower=$!
    [ "$(grep --max-count="$2" --count --fixed-strings -e "$1" <&3)" = "$2" ]; kill "$follower"`;
  await node.must(["bash", "-ec", script, name, words, String(times)]);
}

/** Writes a file on the machine, to simulate a manual edit of the file. */
async function put(path: string, content: string): Promise<void> {
  const file = join(t.testdirName, "content");
  await writeFile(file, content, { mode: 0o644 });
  await node.copyIn(file, path);
}

const service = (lines: readonly string[]): string =>
  ["[Service]", ...lines, "[Install]", "WantedBy=multi-user.target", ""].join("\n");
const unit = "khw-trial.service";
const unitFile = `/etc/systemd/system/${unit}`;

t.test("the systemd adapter manages a unit throughout its lifecycle", async (t) => {
  t.same(await journalOf(unit), []);
  t.match(await statusOf(unit), {
    loadState: "not-found",
    activeState: "inactive",
    unitFileState: "",
    mainPid: 0,
    activeSince: 0,
  });

  const lines = ["Type=exec", "ExecStart=/bin/sleep infinity", "ExecReload=/bin/true"];
  await put(unitFile, service([...lines, "Environment=KHW_INPUTS=sha256:1"]));
  const began = Date.now();
  const begun = await make(systemd("reload"), systemd("enable", unit), systemd("start", unit));
  t.same(
    begun.map(({ error }) => error),
    [undefined, undefined, undefined],
  );
  const running = await statusOf(unit);
  t.match(running, {
    loadState: "loaded",
    activeState: "active",
    subState: "running",
    unitFileState: "enabled",
    result: "success",
    needsReload: false,
    restarts: 0,
  });
  t.ok(Math.abs(running.activeSince - began) < 10_000);

  const [program] = await make(systemd("process", running.mainPid));
  const [inode, device] = (await node.must(["stat", "-L", "-c", "%i %d", "/bin/sleep"])).trim().split(" ");
  t.match(program?.result, { inode, device, environment: { KHW_INPUTS: "sha256:1" } });

  await t.test("a unit file changed on disk is detected, and a daemon reload loads it", async (t) => {
    await put(unitFile, service([...lines, "Environment=KHW_INPUTS=sha256:2"]));
    t.equal((await statusOf(unit)).needsReload, true);
    await make({ ...systemd("reload"), background: true }, systemd("reload"), systemd("restart", unit));
    const { mainPid, needsReload } = await statusOf(unit);
    t.equal(needsReload, false);
    t.not(mainPid, running.mainPid);
    const [restarted] = await make(systemd("process", mainPid));
    t.match(restarted?.result, { environment: { KHW_INPUTS: "sha256:2" } });
  });

  await t.test(
    "reloading a service updates the time of its last state change and does not replace the service's process",
    async (t) => {
      const before = await statusOf(unit);
      const [reloaded] = await make(systemd("reloadService", unit));
      t.equal(reloaded?.error, undefined);
      const after = await statusOf(unit);
      t.equal(after.mainPid, before.mainPid);
      t.equal(after.activeSince, before.activeSince);
      t.ok(after.stateSince > before.stateSince);
    },
  );

  await t.test("a wait for a unit change ends when the unit changes or the caller aborts the wait", async (t) => {
    const [changed] = await make({ ...systemd("changed", unit), background: true }, systemd("restart", unit));
    t.equal(changed?.error, undefined);
    const [nothing] = await make({ ...systemd("changed", unit), abortAfterMillis: 300 });
    t.match(nothing?.error, { message: /aborted/ });
  });

  await t.test("the watch reports a killed unit within 100 ms and reads the unit's files again", async (t) => {
    const [killed, again, reloaded] = await make<{ millis: number; subState: string } & number>(
      { adapter: "watch", method: "kill", args: [unit] },
      systemd("start", unit),
      { adapter: "watch", method: "reload", args: [unit] },
    );
    t.equal(killed?.result?.subState, "failed");
    t.ok((killed?.result?.millis ?? Infinity) < 100);
    t.comment(`reported and read after ${killed?.result?.millis.toFixed(1)} ms`);
    t.equal(again?.error, undefined);
    t.ok((reloaded?.result ?? 0) > 0);
  });

  await t.test(
    "until a unit runs again, the reason for its exit is reported in the same words as in the journal",
    async (t) => {
      await node.must(["systemctl", "kill", "--signal=KILL", unit]);
      await written(unit, `${unit}: Failed with result 'signal'`, 2);
      const [ended, , running] = await make<string[]>(
        systemd("ending", unit),
        systemd("start", unit),
        systemd("ending", unit),
      );
      t.equal(ended?.result?.length, 2);
      const said = await node.must(["journalctl", "--output=cat", "--unit", unit]);
      for (const line of ended?.result ?? []) t.ok(said.includes(line), line);
      t.same(running?.result, []);
    },
  );

  await t.test(
    "a process suspended with SIGSTOP is killed together with its children, and the unit restarts at once",
    async (t) => {
      const { mainPid } = await statusOf(unit);
      await node.must(["kill", "-STOP", String(mainPid)]);
      const begun = Date.now();
      const done = await make(systemd("kill", unit), systemd("resetFailed", unit), systemd("restart", unit));
      t.same(
        done.map(({ error }) => error),
        [undefined, undefined, undefined],
      );
      t.ok(Date.now() - begun < 10_000);
      t.not((await statusOf(unit)).mainPid, mainPid);
    },
  );

  await t.test("killing a unit that does not exist succeeds without doing anything", async (t) => {
    const done = await make(systemd("kill", "khw-none.service"), systemd("resetFailed", "khw-none.service"));
    t.same(
      done.map(({ error }) => error),
      [undefined, undefined],
    );
  });

  await t.test("stopping the unit leaves it inactive without a process", async (t) => {
    const [stopped] = await make(systemd("stop", unit));
    t.equal(stopped?.error, undefined);
    t.match(await statusOf(unit), { activeState: "inactive", mainPid: 0 });
  });
});

t.test("the report of a failed start contains the reason, and the journal lines of only that start", async (t) => {
  const failing = "khw-failing.service";
  await put(
    `/etc/systemd/system/${failing}`,
    service(["Type=notify", "ExecStart=/bin/sh -c 'echo no such etcd; exit 3'"]),
  );
  await make(systemd("reload"), systemd("start", failing));
  const [started] = await make(systemd("start", failing));
  t.match(started?.error, {
    code: "SERVICE_FAILED",
    message: /"failed"; the unit is failed \(failed\), result "exit-code"/,
  });
  await written(failing, "no such etcd", 2);
  await written(failing, "status=3", 2);
  const lines = await journalOf(failing);
  t.same(
    lines.filter((line) => line === "no such etcd"),
    ["no such etcd"],
  );
  t.ok(
    lines.some((line) => line.includes("status=3")),
    "the journal lines include systemd's own messages",
  );

  const absent = "khw-absent.service";
  await put(`/etc/systemd/system/${absent}`, service(["Type=exec", "ExecStart=/no/such/program"]));
  const [, missing] = await make(systemd("reload"), systemd("start", absent));
  t.match(missing?.error, { code: "SERVICE_FAILED" });
  await written(absent, "No such file or directory");
  t.match((await journalOf(absent)).join("\n"), /No such file or directory/);
});

t.test(
  "a request that systemd refuses fails with systemd's own message, and an invalid unit name is never sent to systemd",
  async (t) => {
    const [unknown, masked, name] = await make(
      systemd("start", "khw-none.service"),
      systemd("enable", "khw-none.service"),
      systemd("start", "a.service'; x"),
    );
    t.match(unknown?.error, { code: "SERVICE_FAILED", message: /khw-none\.service not found/ });
    t.match(masked?.error, { code: "SERVICE_FAILED" });
    t.match(name?.error, { code: "INVALID_ARGUMENT" });
  },
);

t.test(
  "40 concurrent calls all succeed, although together they need more open bus calls than the limit of 128",
  async (t) => {
    const outcomes = await make<UnitStatus>(
      ...Array.from({ length: 40 }, (): Call => ({ ...systemd("unit", "dbus.service"), background: true })),
    );
    t.same(
      outcomes.map(({ result, error }) => error?.message ?? result?.activeState),
      Array.from({ length: 40 }, () => "active"),
    );
  },
);

t.test("aborting a call ends the wait for a unit that never finishes starting", async (t) => {
  const slow = "khw-slow.service";
  await put(`/etc/systemd/system/${slow}`, service(["Type=notify", "ExecStart=/bin/sleep infinity"]));
  const [, started] = await make(systemd("reload"), { ...systemd("start", slow), abortAfterMillis: 500 });
  t.match(started?.error, { message: /aborted/ });
  await make(systemd("stop", slow));
});

t.test("calls in progress fail when D-Bus restarts, and later calls succeed", async (t) => {
  const wait: Call = { adapter: "clock", method: "delay", args: [3000] };
  const [changed, restarted, , found, started] = await make(
    { ...systemd("changed", unit), background: true },
    systemd("restart", "dbus.service"),
    wait,
    systemd("unit", unit),
    systemd("start", unit),
  );
  t.match(restarted?.error, { code: "SERVICE_FAILED", message: /lost|cannot be reached/ });
  t.match(found?.result, { loadState: "loaded" });
  t.equal(started?.error, undefined, "after the reconnection, callers are notified again when a job ends");
  t.equal(changed?.error, undefined, "after the reconnection, every waiting caller checks the unit again");
});

t.test("no process is reported for a port without a listener", async (t) => {
  const [nobody] = await make({ adapter: "probes", method: "listeners", args: [[80]] });
  t.strictSame(nobody?.result, {});
});

/** Makes dpkg's records look as if dpkg was killed while it configured nginx. */
async function interruptDpkg(): Promise<void> {
  // When dpkg is killed, it leaves a status change that it has not yet merged into the main file.
  const entry = "Package: nginx\nStatus: install ok half-configured\n";
  const status = await node.must(["dpkg-query", "--show", "--showformat=Version: ${Version}\n", "nginx"]);
  await put("/var/lib/dpkg/updates/0001", `${entry}Architecture: all\n${status}`);
}

/**
 * Installs a package that needs nginx, and makes dpkg's records look as if dpkg was killed while it configured this
 * package: the main file does not list the package yet.
 */
const installDependent = `
folder=$(mktemp -d); mkdir "$folder/DEBIAN"; chmod 755 "$folder"
cat >"$folder/DEBIAN/control" <<END
Package: khw-dependent
Version: 1
Architecture: all
Depends: nginx
Maintainer: khw <khw@example.com>
Description: a test
END
dpkg-deb --build "$folder" "$folder.deb"; dpkg --install "$folder.deb"
cd /var/lib/dpkg
awk -v RS= -v ORS='\\n\\n' '/^Package: khw-dependent\\n/' status | sed 's/ok installed/ok half-configured/' >updates/0001
awk -v RS= -v ORS='\\n\\n' '!/^Package: khw-dependent\\n/' status >status.new; mv status.new status
rm -r "$folder" "$folder.deb"`;

t.test("a package", async (t) => {
  t.equal((await make(packages("installed", "nginx")))[0]?.result, undefined);

  await t.test(
    "an installation waits for the dpkg or apt lock until a deadline and names the lock holder",
    async (t) => {
      // The lock that dpkg and apt take is an fcntl lock, with the struct flock of 64-bit Linux.
      const lock = "my $lock = pack('s s x4 q q i x4', F_WRLCK, 0, 0, 0, 0); fcntl(F, F_SETLK, $lock) or die;";
      const hold = `use Fcntl; open(F, '+>>', $ARGV[0]); ${lock} system('systemd-notify', '--ready'); sleep 60`;
      const asHolder = ["systemd-run", "--quiet", "--collect", "--unit=holder"];
      const readyFirst = ["--property=Type=notify", "--property=NotifyAccess=all"];
      for (const file of ["/var/lib/dpkg/lock-frontend", "/var/lib/apt/lists/lock"]) {
        await node.must([...asHolder, ...readyFirst, "perl", "-e", hold, file]);
        const [installed] = await make(packages("install", "nginx"));
        await node.must(["systemctl", "stop", "holder.service"]);
        const who = String.raw`perl \(pid \d+\), which holds ${file}`;
        t.match(installed?.error, {
          code: "PACKAGE_FAILED",
          message: new RegExp(`still waiting for ${who} after 4 s`),
        });
        t.match(installed?.said.at(-1), new RegExp(`waiting for ${who}`));
      }
    },
  );

  await t.test("an aborted installation leaves no transient unit behind", async (t) => {
    await testbed.packages.setFaults({ kind: "stall", path: String.raw`\.deb$`, after: 1000 });
    const [aborted] = await make({ ...packages("install", "nginx"), abortAfterMillis: 3000 });
    await testbed.packages.setFaults();
    t.match(aborted?.error, { message: /aborted/ });
    t.equal(await node.must(["systemctl", "list-units", "--all", "--plain", "--no-legend", "khw-apt-*"]), "");
  });

  await t.test("installing nginx succeeds, reports progress, and leaves a valid configuration", async (t) => {
    const [installed, version, tested] = await make(
      packages("install", "nginx"),
      packages("installed", "nginx"),
      packages("testNginx"),
    );
    t.equal(installed?.error, undefined);
    t.match(
      installed?.said.join("\n"),
      /^adds .*\bnginx\b[^]*Setting up nginx/m,
      "the list of new packages is reported before the installation",
    );
    t.match(version?.result, /^1\.\d+/);
    t.equal(tested?.error, undefined);
    const [listener] = await make({ adapter: "probes", method: "listeners", args: [[80]] });
    t.match(listener?.result, { 80: { name: "nginx" } });
  });

  await t.test("an interrupted dpkg run is repaired before the package is installed", async (t) => {
    await interruptDpkg();
    const [before, installed, after] = await make(
      packages("installed", "nginx"),
      packages("install", "nginx"),
      packages("installed", "nginx"),
    );
    t.equal(before?.result, undefined);
    t.equal(installed?.error, undefined);
    t.match(after?.result, /^1\.\d+/);
    t.equal(await node.must(["ls", "/var/lib/dpkg/updates"]), "");
    const announced = installed?.said.filter((text) => text.startsWith("adds")) ?? [];
    t.equal(announced.length, 1);
  });

  await t.test("an invalid nginx configuration is reported with nginx's own error message", async (t) => {
    await put("/etc/nginx/conf.d/broken.conf", "nonsense on;\n");
    const [tested] = await make(packages("testNginx"));
    t.match(tested?.error, { code: "SERVICE_FAILED", message: /unknown directive "nonsense"/ });
    await node.must(["rm", "/etc/nginx/conf.d/broken.conf"]);
  });

  await t.test("an unknown package is reported with apt's own error message", async (t) => {
    const [installed] = await make(packages("install", "khw-no-such-package"));
    t.match(installed?.error, { code: "PACKAGE_FAILED", message: /Unable to locate package khw-no-such-package/ });
  });

  await t.test(
    "a package that an interrupted dpkg run has installed prevents the removal of its dependencies",
    async (t) => {
      await node.must(["sh", "-ec", installDependent]);
      const names = ["nginx", "nginx-common"];
      const [purged, installed] = await make(packages("purge", names), packages("installed", "nginx"));
      t.match(purged?.error, { code: "PACKAGE_FAILED", message: /^apt would also remove khw-dependent$/ });
      t.match(installed?.result, /^1\.\d+/);
      await node.must(["dpkg", "--purge", "khw-dependent"]);
    },
  );

  await t.test(
    "a package that an interrupted dpkg run has removed does not prevent the removal of the rest",
    async (t) => {
      // dpkg has removed nginx, but its main file does not show this yet.
      await put("/var/lib/dpkg/updates/0001", "Package: nginx\nStatus: purge ok not-installed\nArchitecture: all\n");
      const [left] = await make(packages("left", ["nginx", "nginx-common"]));
      t.strictSame(left?.result, ["nginx-common"]);
      const [purged, after] = await make(
        packages("purge", ["nginx-common"]),
        packages("left", ["nginx", "nginx-common"]),
      );
      t.equal(purged?.error, undefined);
      t.strictSame(after?.result, []);
    },
  );

  await t.test("an interrupted dpkg run is completed before the packages are removed", async (t) => {
    await make(packages("install", "nginx"));
    await interruptDpkg();
    const names = ["nginx", "nginx-common"];
    const [purged, left] = await make(packages("purge", names), packages("left", names));
    t.equal(purged?.error, undefined);
    t.strictSame(left?.result, []);
    t.equal(await node.must(["dpkg", "--audit"]), "");
  });
});
