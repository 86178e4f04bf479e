/** Tests how the agent reacts to a faulty release mirror. The same machine downloads the same program repeatedly. */
import { join } from "node:path";
import t from "tap";

import { readLock } from "../../client/lock/file.ts";
import { realVersion } from "../testbed/workstation.ts";
import { controllerFiles, failsWith, openScene, scenario, temporaries } from "../fixtures/faults.ts";
import type { LogEntry } from "../testbed/servers/control.ts";
import { nodeLine } from "../fixtures/output-lines.ts";

const installed = "/usr/local/bin/kube-scheduler";
const program = "kube-scheduler$";
const firstMirror = "^/release/.*/kube-scheduler";
const byFirst = /^\/release\//;
const bySecond = /^\/kubernetes-release\/release\//;

/**
 * When a connection breaks, the bytes that the HTTP client has read but not yet delivered are lost. The lost bytes are
 * at most the client's 64 KiB buffer plus the last read.
 */
const underWayBytes = 128 * 1024;

t.test("bootstrap handles failures of the download mirror", async (t) => {
  // The agent reports drift but does not repair the drift. Otherwise, it would restore the removed files before the
  // scenarios request them.
  await using scene = await openScene(1, "supervision: {drift: report}\n");
  const { testbed, workstation, bootstrap, node } = scene;
  const machine = node(0);
  const both = [`--mirror=${testbed.mirrorUrl}`, `--mirror=${testbed.secondMirrorUrl}`];

  /** Removes the scheduler's program, so that the next bootstrap downloads it again. */
  const forget = async (): Promise<void> => {
    await machine.must(["sh", "-c", `rm ${installed} /usr/local/lib/khw/kubernetes/*/kube-scheduler*`]);
    await testbed.mirror.clearLog();
  };
  /** Returns the download requests for the program since the program was removed. */
  const downloads = async (): Promise<readonly LogEntry[]> =>
    (await testbed.mirror.log()).filter(({ path }) => path.endsWith("/kube-scheduler"));

  await scenario(
    t,
    "the agent refuses a program that was tampered with, even if the mirror's published digest was changed too",
    async (t) => {
      const recorded = (await readLock(join(workstation.folder, "khw.lock"))).find(
        ({ program: name, version }) => name === "kube-scheduler" && version === realVersion,
      );
      const tampered = "0".repeat(64);
      await testbed.mirror.setFaults(
        { kind: "corrupt", path: program },
        { kind: "body", body: tampered, path: "kube-scheduler\\.sha256$" },
      );
      failsWith(t, await bootstrap(), "DIGEST_MISMATCH", [
        new RegExp(
          `controller-0: release/kube-scheduler: v1\\.20\\.2/bin/linux/\\w+/kube-scheduler: .*: SHA-256 is \\w{64}, not ${recorded?.sha256}`,
        ),
        /another mirror.*khw\.lock/,
      ]);
      t.equal(
        (await machine.run(["sh", "-c", `ls ${installed} /usr/local/lib/khw/kubernetes/*/kube-scheduler*`])).stdout,
        "",
      );
      t.equal(await temporaries(machine), "");
      // On a fresh machine, each component needs only its own program.
      t.equal(
        (await machine.run(["sh", "-c", "ls /etc/systemd/system/kube-*.service"])).stdout,
        "/etc/systemd/system/kube-apiserver.service\n/etc/systemd/system/kube-controller-manager.service\n",
        "no service uses the missing program",
      );
      t.equal(await machine.must(["systemctl", "is-active", "nginx"]), "active\n", "all other work was done");
    },
  );

  await scenario(t, "the same command with a healthy mirror completes the remaining work", async (t) => {
    await testbed.mirror.setFaults();
    await testbed.mirror.clearLog();
    const { code, stdout, stderr } = await bootstrap();
    t.equal(code, 0, stderr);
    t.match(stdout, nodeLine("controller-0", "binary/kube-scheduler: done in .*"));
    t.equal((await testbed.mirror.log()).length, 1, "only the missing file is downloaded");
  });
  const sound = await controllerFiles(machine);

  for (const [fault, title] of [
    [{ kind: "status", status: 404 }, "a mirror that lacks the release"],
    [{ kind: "corrupt" }, "a mirror that serves wrong bytes"],
  ] as const) {
    await scenario(t, `${title} is skipped in favor of the next mirror`, async (t) => {
      await forget();
      const path = fault.kind === "corrupt" ? `${firstMirror}$` : firstMirror;
      await testbed.mirror.setFaults({ ...fault, path });
      const { code, stderr } = await bootstrap(...both);
      t.equal(code, 0, stderr);
      t.match((await downloads()).at(-1), { path: bySecond, status: 200 });
      t.equal(await controllerFiles(machine), sound);
    });
  }

  await scenario(t, "an interrupted download resumes where it stopped", async (t) => {
    await forget();
    await testbed.mirror.setFaults({ kind: "cut", after: 5_000_000, path: program, times: 2 });
    const { code, stderr } = await bootstrap();
    t.equal(code, 0, stderr);
    const [first, second, third] = await downloads();
    t.match(first, { range: null, status: 200, bytes: 5_000_000 });
    t.match(second, { status: 206, bytes: 5_000_000 });
    t.match(third, { status: 206 });
    const [from, again] = [second, third].map((request) => Number(/^bytes=(\d+)-$/.exec(request?.range ?? "")?.[1]));
    for (const [resumed = NaN, cut] of [
      [from, 5_000_000],
      [again, (from ?? NaN) + 5_000_000],
    ] as const) {
      t.ok(
        resumed <= cut && resumed > cut - underWayBytes,
        `the download cut at byte ${cut} continues just before the cut, at byte ${resumed}`,
      );
    }
    t.equal(await controllerFiles(machine), sound);
  });

  await scenario(t, "a request to an overloaded mirror is retried", async (t) => {
    await forget();
    await testbed.mirror.setFaults({ kind: "status", status: 503, path: program, times: 2 });
    const { code, stderr } = await bootstrap(...both);
    t.equal(code, 0, stderr);
    t.match(await downloads(), [
      { path: byFirst, status: 503 },
      { path: byFirst, status: 503 },
      { path: byFirst, status: 200 },
    ]);
  });

  await scenario(t, "a stalled mirror is abandoned in favor of the next mirror", async (t) => {
    await forget();
    await testbed.mirror.setFaults({ kind: "stall", after: 0, path: `${firstMirror}$` });
    const { code, stderr } = await bootstrap(...both);
    t.equal(code, 0, stderr);
    t.match((await downloads()).at(-1), { path: bySecond, status: 200 });
    t.equal(await controllerFiles(machine), sound);
  });

  await scenario(t, "if every mirror fails, the error reports the failure of each mirror", async (t) => {
    await forget();
    await testbed.mirror.setFaults(
      { kind: "status", status: 404, path: firstMirror },
      { kind: "drop", path: "kube-scheduler" },
    );
    failsWith(t, await bootstrap(...both), "DOWNLOAD_FAILED", [
      /controller-0: release\/kube-scheduler: .*\/release: HTTP 404; .*\/kubernetes-release\/release: the connection was cut/,
      /mirrors/,
    ]);
    t.equal(await temporaries(machine), "");
    await testbed.mirror.setFaults();
    t.equal((await bootstrap(...both)).code, 0);
    t.equal(await controllerFiles(machine), sound);
  });
});
