import t, { type Test } from "tap";
import { controllerSteps, downloadSteps } from "../../../agent/steps.ts";
import { binary, released as releasedProgram } from "../../../agent/steps/binary.ts";
import { file, folder, link, textFile } from "../../../agent/steps/files.ts";
import { agentFolders, systemFolders } from "../../../agent/steps/folders.ts";
import { identity } from "../../../agent/steps/identity.ts";
import { nginxPackage, nginxService } from "../../../agent/steps/nginx.ts";
import { ready } from "../../../agent/steps/ready.ts";
import { service } from "../../../agent/steps/service.ts";
import { components, programs, signingCredentialNames } from "../../../proto/components.ts";
import { healthChecks } from "../../../agent/health/health.ts";
import type { Os } from "../../../agent/os/os.ts";
import { KhwError } from "../../../proto/errors.ts";
import { applySteps, type Step, type StepEvent } from "../../../proto/step.ts";
import { createFakeOs, fakeIdentity, type FakeOs } from "../../fakes/os.ts";
import { createFakeSystemd } from "../../fakes/systemd.ts";
import { credentialsOf, labState } from "../../fixtures/lab-cluster.ts";
import {
  applyAll,
  digest,
  etcdRelease,
  labDesired,
  labDesiredWithEtcd,
  labMachine,
  never,
  planAll,
  release,
} from "../../fixtures/machine.ts";

const quiet = { signal: never, progress: () => {} };

/**
 * Checks the step, applies it, and verifies that the next check finds no difference. Returns the summary of the first
 * check.
 */
async function repair(t: Test, step: Step<Os>, os: Os): Promise<string | undefined> {
  const drift = await step.check(os, never);
  await step.apply(os, quiet);
  t.equal(await step.check(os, never), null, `${step.id} finds no difference after it has been applied`);
  return drift?.summary;
}

t.test("a missing folder is created, but a file at the folder's path causes an error", async (t) => {
  const os = createFakeOs();
  t.equal(await repair(t, folder("/var/lib/kubernetes", 0o755), os), "the folder does not exist");
  os.files.put("/etc/kubernetes", "a file");
  const occupied = folder("/etc/kubernetes", 0o755);
  t.match(await occupied.check(os, never), { summary: "is a file, not a folder" });
  await t.rejects(occupied.apply(os, quiet), { code: "IO_FAILED", message: "/etc/kubernetes is a file, not a folder" });
  t.equal(os.files.text("/etc/kubernetes"), "a file");
});

t.test("downloads change only the releases' folders, and the next apply has nothing to download", async (t) => {
  const os = labMachine();
  etcdRelease(os, "v3.4.99");
  await applyAll(controllerSteps(labDesired(), { drained: false }), os);
  release(os, "v1.22.0");
  const desired = labDesiredWithEtcd({ kubernetesVersion: "v1.22.0" });
  const [files, others] = [os.files.changes.length, os.changes().length - os.files.changes.length];
  t.strictSame((await applyAll(downloadSteps(desired), os)).errors, []);
  t.equal(os.changes().length - os.files.changes.length, others);
  const changes = os.files.changes.slice(files);
  t.ok(changes.length > 0);
  t.strictSame(
    changes.filter((change) => !/\/usr\/local\/lib\/khw\/(kubernetes\/v1\.22\.0|etcd)/.test(change)),
    [],
  );
  os.mirror.clear();
  const ids = downloadSteps(desired).map(({ id }) => id);
  t.ok(ids.includes("release/etcd"));
  t.strictSame(Object.keys(await planAll(downloadSteps(desired), os)), []);
});

t.test("the mode and owner of every folder that khw creates are restored", async (t) => {
  const os = labMachine();
  const steps = controllerSteps(labDesired(), { drained: false });
  await applyAll(steps, os);
  await os.files.mkdir("/var/lib/khw-agent/snapshots", 0o700);
  await os.files.mkdir("/etc/khw-agent/pki", 0o700);
  for (const [path, mode] of [
    ["/etc/kubernetes", 0o755],
    ["/etc/kubernetes/config", 0o755],
    ["/usr/local/lib/khw", 0o755],
    ["/usr/local/lib/khw/kubernetes", 0o755],
    ["/usr/local/lib/khw/kubernetes/v1.21.0", 0o755],
    ["/var/lib/kubernetes", 0o755],
    ["/etc/systemd/system/kube-apiserver.service.d", 0o755],
    ["/etc/systemd/system/kube-controller-manager.service.d", 0o755],
    ["/etc/systemd/system/kube-scheduler.service.d", 0o755],
    ["/var/lib/khw-agent", 0o700],
    ["/var/lib/khw-agent/snapshots", 0o700],
    ["/etc/khw-agent/pki", 0o700],
  ] as const) {
    const step = steps.find(({ id }) => id === `folder${path}`);
    if (step === undefined) throw new Error(`no step checks ${path}`);
    await os.files.chmod(path, 0o777);
    t.match(await repair(t, step, os), "its mode is 0777, not");
    await os.files.chown(path, 1000, 1000);
    t.equal(await repair(t, step, os), "it belongs to 1000:1000, not to root");
    t.match(await os.files.stat(path), { mode, uid: 0, gid: 0 });
  }
});

t.test("a system folder that others can write to is reported by name, and not changed", async (t) => {
  const os = labMachine();
  await applyAll(controllerSteps(labDesired(), { drained: false }), os);
  const step = systemFolders();
  t.equal(await step.check(os, never), null);
  await os.files.chmod("/etc/systemd/system", 0o777);
  await os.files.chown("/usr/local/bin", 1000, 0);
  t.strictSame(await step.check(os, never), {
    summary:
      "/usr/local/bin: it belongs to user 1000, not to root; /etc/systemd/system: anybody can write to it (its mode is 0777)",
    remedy: "on the node: chown root /usr/local/bin; chmod o-w /etc/systemd/system",
  });
  const { results, errors } = await applyAll(controllerSteps(labDesired(), { drained: false }), os);
  t.strictSame(errors, []);
  t.strictSame(
    results.flatMap((result) => (result.outcome === "reported" ? [result.drift.summary.slice(0, 14)] : [])),
    ["/usr/local/bin"],
  );
  t.match(await os.files.stat("/etc/systemd/system"), { mode: 0o777 });
});

t.test(
  "a system folder that is a symlink is checked at its target, including the target's parent folders",
  async (t) => {
    const os = labMachine();
    os.files.put("/srv/local/bin/kubectl", "");
    await os.files.mkdir("/usr", 0o755);
    await os.files.symlink("../srv/local", "/usr/local");
    await os.files.chmod("/srv/local", 0o775);
    await os.files.chown("/srv/local", 0, 50);
    await os.files.chmod("/srv", 0o1777);
    const { summary = "" } = (await systemFolders().check(os, never)) ?? {};
    t.match(summary, "/srv/local: group 50 can write to it (its mode is 0775)");
    t.match(summary, "/srv: anybody can write to it (its mode is 1777)");
  },
);

t.test("Debian's staff group may have write access to /usr/local", async (t) => {
  const os = labMachine();
  await os.files.mkdir("/usr/local/bin", 0o755);
  await os.files.chmod("/usr/local/bin", 0o2775);
  await os.files.chown("/usr/local/bin", 0, 50);
  t.equal(await systemFolders().check(os, never), null);
  await os.files.chown("/usr/local/bin", 0, 51);
  t.match(await systemFolders().check(os, never), { summary: /group 51 can write to it/ });
});

t.test("a foreign drop-in for one of khw's units is reported by name and not changed", async (t) => {
  const os = labMachine();
  const steps = controllerSteps(labDesired(), { drained: false });
  await applyAll(steps, os);
  const step = steps.find(({ id }) => id === "drop-ins/kube-scheduler");
  t.equal(await step?.check(os, never), null);
  const folder = "/etc/systemd/system/kube-scheduler.service.d";
  os.files.put(`${folder}/70-khw-not-really.conf`, "[Service]\nNice=5\n");
  os.files.put(`${folder}/notes.txt`, "");
  os.systemd.elsewhere.set("kube-scheduler.service", [
    "/run/systemd/system/kube-scheduler.service.d/50-x.conf",
    "/usr/lib/systemd/system/service.d/10-of-all.conf",
  ]);
  const drift = await step?.check(os, never);
  const both = `${folder}/70-khw-not-really.conf, /run/systemd/system/kube-scheduler.service.d/50-x.conf`;
  t.equal(drift?.summary, `${both} were not written by khw and can change how kube-scheduler.service runs`);
  t.match(drift?.remedy, /rm .*70-khw-not-really\.conf .* && systemctl daemon-reload/);
  const { errors } = await applyAll(steps, os);
  t.strictSame(errors, []);
  t.equal(os.files.text(`${folder}/70-khw-not-really.conf`), "[Service]\nNice=5\n");

  let asked = 0;
  const sources: typeof os.systemd.sources = async (name) => {
    asked += 1;
    return os.systemd.sources(name);
  };
  t.strictSame(await step?.check({ ...os, systemd: { ...os.systemd, sources } }, never), drift);
  t.equal(asked, 1, "each check asks systemd only once, because an idle agent checks every minute");
});

t.test("a file's content, mode, owner and type are checked and repaired", async (t) => {
  const os = createFakeOs();
  const wanted = { id: "f", path: "/etc/f", mode: 0o600, content: "wanted", needs: [] };
  const step = textFile(wanted);
  os.files.put("/etc/other", "wanted");

  t.equal(await repair(t, step, os), "is missing");
  os.files.put("/etc/f", "changed", 0o600);
  t.equal(await repair(t, step, os), "its content differs");
  await os.files.chmod("/etc/f", 0o644);
  t.equal(await repair(t, step, os), "its mode is 0644, not 0600");
  await os.files.chown("/etc/f", 33, 33);
  t.equal(await repair(t, step, os), "it belongs to 33:33, not to root");
  await os.files.symlink("/etc/other", "/etc/f");
  t.equal(await repair(t, step, os), "is a symlink, not a file");
  t.equal(os.files.text("/etc/other"), "wanted", "the file that the symlink pointed to is unchanged");
  t.match(await os.files.stat("/etc/other"), { mode: 0o644 });
});

t.test("a file with the right content but the wrong mode is repaired without being rewritten", async (t) => {
  const os = createFakeOs();
  os.files.put("/etc/f", "wanted", 0o644);
  await repair(t, textFile({ id: "f", path: "/etc/f", mode: 0o600, content: "wanted", needs: [] }), os);
  t.notOk(os.files.changes.includes("write /etc/f"));
});

t.test("a file of which only the digest is known can be planned, but not written", async (t) => {
  const os = createFakeOs();
  const step = file({ id: "f", path: "/f", mode: 0o600, sha256: digest("x"), content: undefined, needs: [] });
  t.match(await step.check(os, never), { summary: "is missing" });
  await t.rejects(step.apply(os, quiet), { name: "TypeError" });
  t.strictSame(os.files.changes, []);
});

t.test("a link with the desired target is created, even if another link or a file exists at its path", async (t) => {
  const os = createFakeOs();
  await os.files.mkdir("/etc/enabled", 0o755);
  const step = link({ id: "l", path: "/etc/enabled/site", target: "/etc/available/site", needs: [] });
  t.equal(await repair(t, step, os), "is missing");
  await os.files.symlink("/elsewhere", "/etc/enabled/site");
  t.equal(await repair(t, step, os), "points to /elsewhere");
  os.files.put("/etc/enabled/site", "a copy");
  t.equal(await repair(t, step, os), "points to nothing: it is not a link");
});

t.test("on a machine with the wrong name or address, nothing is changed", async (t) => {
  for (const [changes, summary] of [
    [{ name: "controller-1" }, "this machine is controller-1, not controller-0"],
    [{ internalIp: "10.240.0.11" }, "its address is 10.240.0.11, not 10.240.0.10"],
  ] as const) {
    const os = createFakeOs({ identity: { ...fakeIdentity, ...changes } });
    t.match(await identity(labDesired()).check(os, never), { summary });
    const { results, errors } = await applyAll(controllerSteps(labDesired(), { drained: false }), os);
    t.match(errors, [{ code: "IDENTITY_MISMATCH", step: "identity", hint: /khw.yaml/ }]);
    t.ok(results.slice(1).every(({ outcome }) => outcome === "skipped"));
    t.strictSame(os.changes(), []);
  }
});

t.test("a program", async (t) => {
  const path = "/usr/local/bin/kubectl";
  const released = "/usr/local/lib/khw/kubernetes/v1.21.0/kubectl";
  const record = `${released}.sha256`;
  const published = "v1.21.0/bin/linux/amd64/kubectl";
  const content = "kubectl of v1.21.0";
  const downloads = (os: { files: { changes: readonly string[] } }): number =>
    os.files.changes.filter((change) => change === `write ${released}`).length;
  const download = releasedProgram("kubectl", labDesired());
  const step = binary("kubectl", labDesired(), []);
  /**
   * Applies both steps. Returns the summaries from the checks before the repair, with the download step's summary
   * first.
   */
  const repairBoth = async (t: Test, os: Os, steps = [download, step]): Promise<(string | undefined)[]> => {
    const said = await Promise.all(steps.map(async (each) => (await each.check(os, never))?.summary));
    for (const each of steps) await repair(t, each, os);
    return said;
  };

  t.test(
    "a program is downloaded, recorded with its published digest, and then linked to its final path",
    async (t) => {
      const os = labMachine();
      t.equal(await repair(t, download, os), "v1.21.0 is not downloaded");
      t.equal(os.files.text(path), undefined);
      t.equal(await repair(t, step, os), "is missing");
      t.equal(os.files.text(path), content);
      t.equal(os.files.text(record), `${digest(content)}\n`);
      t.match(await os.files.stat(path), { mode: 0o755, uid: 0, inode: (await os.files.stat(released))?.inode });
      os.mirror.clear();
      t.strictSame(
        [await download.check(os, never), await step.check(os, never)],
        [null, null],
        "both steps find no difference even if the mirror has no files",
      );
    },
  );

  t.test("a program that already exists with the right digest is used without a download", async (t) => {
    const os = labMachine();
    os.files.put(path, content, 0o700);
    t.strictSame(await repairBoth(t, os), ["v1.21.0 is not downloaded", "v1.21.0 is not installed"]);
    t.equal(downloads(os), 0);
    t.match(await os.files.stat(path), { mode: 0o755, inode: (await os.files.stat(released))?.inode });
  });

  t.test("a program that is a symlink to a correct program is replaced by a regular file", async (t) => {
    const os = labMachine();
    os.files.put("/opt/kubectl", content, 0o755);
    await os.files.symlink("/opt/kubectl", path);
    await repairBoth(t, os);
    t.match(await os.files.stat(path), { kind: "file" });
  });

  t.test("an installed program that was damaged, replaced or made non-executable is repaired", async (t) => {
    const os = labMachine();
    await repairBoth(t, os);
    os.files.put(path, "something else", 0o755);
    t.strictSame(await repairBoth(t, os), [undefined, "its content differs from the published v1.21.0"]);
    t.equal(downloads(os), 1, "the program is restored from the release's own copy without a download");
    os.files.put(released, "spoilt", 0o755);
    await os.files.link(released, path);
    const spoilt = "its content differs from the published v1.21.0";
    t.strictSame(await repairBoth(t, os), [spoilt, spoilt]);
    t.equal(downloads(os), 2);
    await os.files.chmod(path, 0o644);
    const unrunnable = "its mode is 0644, not 0755";
    t.strictSame(await repairBoth(t, os), [unrunnable, unrunnable]);
    await os.files.remove(path);
    t.strictSame(await repairBoth(t, os), [undefined, "is missing"]);
    os.files.put(path, content, 0o755);
    t.strictSame(await repairBoth(t, os), [undefined, "is a copy, not a link to the release's file"]);
    t.equal(downloads(os), 2);
  });

  t.test("a program whose copy in the release folder is missing is restored from the installed copy", async (t) => {
    const os = labMachine();
    await repairBoth(t, os);
    await os.files.remove(released);
    os.mirror.clear();
    t.equal(await repair(t, download, os), "is missing");
    t.equal(await step.check(os, never), null);
  });

  t.test("a program whose digest record is damaged is downloaded again", async (t) => {
    const os = labMachine();
    await repairBoth(t, os);
    os.files.put(record, "");
    t.strictSame(await repairBoth(t, os), ["v1.21.0 is not downloaded", "v1.21.0 is not installed"]);
    t.equal(os.files.text(record), `${digest(content)}\n`);
  });

  t.test("the program of an earlier release is kept, so that a return to that release needs no download", async (t) => {
    const os = labMachine();
    release(os, "v1.22.0");
    await repairBoth(t, os);
    const next = labDesired({ kubernetesVersion: "v1.22.0" });
    await repairBoth(t, os, [releasedProgram("kubectl", next), binary("kubectl", next, [])]);
    t.equal(os.files.text(path), "kubectl of v1.22.0");
    os.mirror.clear();
    await repairBoth(t, os);
    t.equal(os.files.text(path), content);
  });

  t.test(
    "a program must match its pinned digest, and is still checked against this digest after the pin is removed",
    async (t) => {
      const os = labMachine();
      const own = "a custom build";
      const pinned = (sha256: string) =>
        releasedProgram(
          "kubectl",
          labDesired({
            binaries: { mirrors: ["https://dl.k8s.io/release"], proxy: "", caPem: "", sha256: { kubectl: sha256 } },
          }),
        );
      await t.rejects(pinned(digest(own)).apply(os, quiet), { code: "DIGEST_MISMATCH" });
      t.equal(os.files.text(released), undefined, "a downloaded program with the wrong digest is not kept");
      os.mirror.set(published, own);
      os.mirror.delete(`${published}.sha256`);
      await repair(t, pinned(digest(own)), os);
      t.equal(os.files.text(released), own);
      t.equal(os.files.text(record), `${digest(own)}\n`);
      release(os, "v1.21.0");
      t.equal(
        await download.check(os, never),
        null,
        "the recorded digest takes precedence over the digest that a mirror publishes later",
      );
      await repair(t, pinned(digest(content)), os);
      t.equal(os.files.text(released), content);
      t.equal(os.files.text(record), `${digest(content)}\n`);
    },
  );

  t.test("a program whose published digest is invalid or does not match its content is never kept", async (t) => {
    const os = labMachine();
    for (const text of ["<html>404</html>", "", "d".repeat(63), digest(content).toUpperCase()]) {
      os.mirror.set(`${published}.sha256`, text);
      await t.rejects(download.apply(os, quiet), { code: "DOWNLOAD_FAILED", hint: /mirrors/ }, text);
    }
    os.mirror.set(`${published}.sha256`, digest("other bytes"));
    await t.rejects(download.apply(os, quiet), { code: "DIGEST_MISMATCH" });
    os.mirror.delete(published);
    await t.rejects(download.apply(os, quiet), { code: "DOWNLOAD_FAILED" });
    t.equal(os.files.text(released), undefined);
    t.equal(os.files.text(record), undefined);
    os.mirror.set(published, content);
    os.mirror.set(`${published}.sha256`, `${digest(content)}  kubectl\n`);
    await repair(t, download, os);
  });
});

t.test("a service", async (t) => {
  const unit = "kube-scheduler.service";
  const program = "/usr/local/bin/kube-scheduler";
  const wanted = { unit, command: [program, "--v=2"], inputs: ["v1.21.0", "unit", "key 1"], needs: [] } as const;
  const step = service(wanted);
  const fresh = () => {
    const os = createFakeOs();
    os.files.put(program, "scheduler", 0o755);
    os.files.put(`/etc/systemd/system/${unit}`, `[Service]\nExecStart=${program} --v=2\n`);
    return os;
  };
  const running = async (t: Test) => {
    const os = fresh();
    await repair(t, step, os);
    return { os, pid: (await os.systemd.unit(unit)).mainPid };
  };
  const restarts = (os: ReturnType<typeof fresh>): number =>
    os.systemd.changes.filter((change) => /^(start|restart) /.test(change)).length - 1;

  t.test("a service that has never run is enabled and started", async (t) => {
    const os = fresh();
    t.equal(await repair(t, step, os), "its inputs have changed");
    t.strictSame(os.systemd.changes, [`enable ${unit}`, `start ${unit}`]);
  });

  t.test("a service is restarted only if one of its inputs differs", async (t) => {
    const { os, pid } = await running(t);
    t.equal(await service(wanted).check(os, never), null, "a service with unchanged inputs is not restarted");
    t.equal(
      await repair(t, service({ ...wanted, inputs: ["v1.21.0", "unit", "key 2"] }), os),
      "its inputs have changed",
    );
    t.not((await os.systemd.unit(unit)).mainPid, pid);
    t.equal(restarts(os), 1);
  });

  t.test("a service that runs correctly but is not enabled is enabled without a restart", async (t) => {
    const { os, pid } = await running(t);
    let enabled = false;
    const disabled = {
      ...os,
      systemd: {
        ...os.systemd,
        unit: async (name: string) => ({
          ...(await os.systemd.unit(name)),
          unitFileState: enabled ? "enabled" : "disabled",
        }),
        enable: async () => void (enabled = true),
      },
    };
    t.equal(await repair(t, step, disabled), "it is disabled, not enabled");
    t.equal((await os.systemd.unit(unit)).mainPid, pid);
  });

  t.test("a service whose restart with new inputs was interrupted is restarted by the next run", async (t) => {
    const { os } = await running(t);
    const next = service({ ...wanted, inputs: ["v1.22.0"] });
    const crashing = { ...os, systemd: { ...os.systemd, restart: () => Promise.reject(new Error("power lost")) } };
    await t.rejects(next.apply(crashing, quiet), { message: "power lost" });
    t.equal(
      await repair(t, next, os),
      "its inputs (release, unit, configuration or credentials) differ from the desired ones",
    );
  });

  t.test("a service whose program was replaced while it was running is restarted", async (t) => {
    const { os } = await running(t);
    await os.files.write(program, "scheduler", 0o755);
    t.equal(await repair(t, step, os), `it is running a program other than ${program}`);
    t.equal(restarts(os), 1);
  });

  t.test(
    "if a unit file changes without affecting the process, systemd reloads the unit and the service is not restarted",
    async (t) => {
      const { os } = await running(t);
      os.files.put(`/etc/systemd/system/${unit}`, `[Service]\nExecStart=${program} --v=2\nRestartSec=1\n`);
      t.equal(await repair(t, step, os), "systemd has not loaded the current version of the unit");
      t.equal(restarts(os), 0);
    },
  );

  t.test(
    "a service that runs with an edited flag is restarted after its unit is repaired, even if systemd has not reloaded the unit",
    async (t) => {
      for (const loaded of [false, true]) {
        const { os } = await running(t);
        const own = os.files.text(`/etc/systemd/system/${unit}`) ?? "";
        os.files.put(`/etc/systemd/system/${unit}`, own.replace("--v=2", "--v=9"));
        await os.systemd.reload();
        await os.systemd.restart(unit, never);
        t.match(await step.check(os, never), { summary: /flags differ/, process: "restart" });
        os.files.put(`/etc/systemd/system/${unit}`, own);
        if (loaded) await os.systemd.reload();
        await repair(t, step, os);
        t.equal(restarts(os), 2, "the service is restarted once manually and once by the repair");
      }
    },
  );

  t.test(
    "a service is not restarted if a foreign drop-in changes its flags, because a restart would not help",
    async (t) => {
      const { os } = await running(t);
      const own = `/etc/systemd/system/${unit}.d/override.conf`;
      os.clock.advance(1000);
      os.files.put(own, `[Service]\nExecStart=${program} --v=9\n`);
      const overridden = {
        ...os,
        systemd: {
          ...os.systemd,
          process: async (pid: number) => {
            const own = await os.systemd.process(pid);
            return own === undefined ? undefined : { ...own, argv: [program, "--v=9"] };
          },
        },
      };
      os.clock.advance(1000);
      await step.apply(overridden, quiet);
      await t.rejects(step.apply(overridden, quiet), { code: "SERVICE_FAILED", message: own });
      t.equal(restarts(os), 1);
    },
  );

  t.test("a service that failed is started again", async (t) => {
    const { os } = await running(t);
    os.systemd.crash(unit, "exit-code");
    t.equal(await repair(t, step, os), "it is failed (failed)");
  });

  t.test(
    "a service is restarted only if one of its files had different content when the service started",
    async (t) => {
      const key = "/var/lib/kubernetes/kube-scheduler.kubeconfig";
      const reads = [{ path: key, sha256: digest("own") }];
      const reading = service({ ...wanted, reads });
      const os = fresh();
      os.files.put(key, "own", 0o600);
      await repair(t, reading, os);
      const quietly = async (what: string): Promise<void> => void t.equal(await reading.check(os, never), null, what);

      os.clock.advance(1000);
      await os.files.chmod(key, 0o600);
      await quietly("a changed mode does not count as changed content");
      os.files.put(key, "another's", 0o600);
      os.files.put(key, "own", 0o600);
      await quietly("content that differed only between two starts is not reported");

      os.files.put(key, "another's", 0o600);
      await os.systemd.restart(unit, never);
      os.files.put(key, "own", 0o600);
      const override = `/etc/systemd/system/${unit}.d/override.conf`;
      os.files.put(override, "[Service]\nLimitNOFILE=65536\n");
      await os.systemd.reload();
      os.clock.advance(1000);
      t.match(await reading.check(os, never), { process: "restart" });
      t.equal(await repair(t, reading, os), `it was started while ${key} had different content`);
      t.equal(
        restarts(os),
        2,
        "the service is restarted once manually and once by the repair, but a foreign drop-in causes no restart",
      );
    },
  );

  t.test("a service that was started before its unit listed its files is not restarted", async (t) => {
    const { os } = await running(t);
    const path = "/var/lib/kubernetes/kube-scheduler.kubeconfig";
    os.files.put(path, "own", 0o600);
    const reading = service({ ...wanted, reads: [{ path, sha256: digest("own") }] });
    t.equal(await repair(t, reading, os), "its inputs have changed");
    t.equal(restarts(os), 0);
  });

  t.test("if a service does not start, its step fails with systemd's error message", async (t) => {
    const os = fresh();
    os.systemd.failing.set(unit, "exit-code");
    await t.rejects(step.apply(os, quiet), { code: "SERVICE_FAILED", message: /exit-code/ });
    os.systemd.failing.clear();
    await repair(t, step, os);
  });
});

t.test(
  "if a program exits at every start, the service step's error contains the diagnosis instead of the unit's state",
  async (t) => {
    const refused =
      "/usr/local/bin/etcd: /lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.34' not found (required by /usr/local/bin/etcd)";
    const wanted = {
      unit: "kube-scheduler.service",
      command: ["/usr/local/bin/kube-scheduler"],
      inputs: ["unit"],
      needs: [],
    } as const;
    const run = async (os: FakeOs) => {
      os.files.put(`/etc/systemd/system/${wanted.unit}`, "[Service]\nExecStart=/usr/local/bin/kube-scheduler\n");
      os.files.put("/usr/local/bin/kube-scheduler", "program");
      os.systemd.journals.set(wanted.unit, [refused]);
      const [result] = await applySteps([service(wanted)], os, { signal: never, emit: () => {} });
      return result;
    };
    const failed = {
      outcome: "failed",
      error: {
        code: "SERVICE_FAILED",
        message: /does not stay up.*needs GLIBC_2\.34.*\(library-too-old\)/s,
        hint: /which installs the release's program; if that program does not run here either/,
      },
    };
    const atOnce = createFakeOs();
    atOnce.systemd.failing.set(wanted.unit, "exit-code");
    t.match(await run(atOnce), failed, "a service that fails to start is reported");

    const later = createFakeOs();
    const begin = createFakeSystemd(later.files, () => later.clock.now());
    const ends = async (name: string, signal: AbortSignal): Promise<void> => {
      await begin.start(name, signal);
      begin.crash(name, "exit-code", "auto-restart");
    };
    Object.assign(later, { systemd: { ...begin, start: ends, restart: ends } });
    t.match(await run(later), failed, "a service that exits after it has started is reported");
  },
);

t.test("nginx", async (t) => {
  const site = "/etc/nginx/sites-available/site";
  const step = nginxService([site], []);
  const installed = async (t: Test) => {
    const os = labMachine();
    t.equal(await repair(t, nginxPackage(), os), "is not installed");
    os.clock.advance(1000);
    os.files.put(site, "server {}");
    return os;
  };

  t.test("nginx is reloaded, not restarted, if its files have changed since its last start or reload", async (t) => {
    const os = await installed(t);
    const { mainPid } = await os.systemd.unit("nginx.service");
    t.equal(await repair(t, step, os), "it has not loaded its current site");
    t.equal((await os.systemd.unit("nginx.service")).mainPid, mainPid);
    os.clock.advance(1000);
    os.files.put(site, "server { listen 80; }");
    t.equal(await repair(t, step, os), "it has not loaded its current site");
    t.equal(os.systemd.changes.filter((change) => change === "reload nginx.service").length, 2);
    t.notOk(os.systemd.changes.includes("restart nginx.service"));
  });

  t.test("nginx is not reloaded if its configuration is invalid", async (t) => {
    const os = await installed(t);
    os.nginxComplaint = "unknown directive";
    const before = os.systemd.changes.length;
    await t.rejects(step.apply(os, quiet), { code: "SERVICE_FAILED", message: "unknown directive" });
    t.equal(os.systemd.changes.length, before);
  });

  t.test("an nginx that has exited is started", async (t) => {
    const os = await installed(t);
    await repair(t, step, os);
    os.systemd.crash("nginx.service", "signal");
    t.equal(await repair(t, step, os), "it is failed (failed)");
  });

  t.test("an nginx whose site file is missing is reported as not having loaded its current site", async (t) => {
    const os = await installed(t);
    await os.files.remove(site);
    t.match(await step.check(os, never), { summary: "it has not loaded its current site" });
  });

  t.test("if apt cannot install nginx, the step fails with apt's error message", async (t) => {
    await t.rejects(nginxPackage().apply(createFakeOs(), quiet), {
      code: "PACKAGE_FAILED",
      message: /Unable to locate package nginx/,
    });
  });
});

t.test("readiness", async (t) => {
  const [apiserver] = healthChecks;
  if (apiserver === undefined) throw new Error("no health checks");
  const step = ready(apiserver, []);
  const failing = { status: 500, body: "[+]ping ok\n[-]etcd failed: reason withheld\n[-]poststarthook/x failed\n" };
  const bootstrapped = async () => {
    const os = labMachine();
    await applyAll(controllerSteps(labDesired(), { drained: false }), os);
    return os;
  };

  t.test("the step waits for readiness, and its progress lists the checks that still fail", async (t) => {
    const os = await bootstrapped();
    const texts: string[] = [];
    let asked = 0;
    const slow = {
      ...os,
      probes: { ...os.probes, http: async () => (++asked > 20 ? { status: 200, body: "ok" } : failing) },
    };
    await step.apply(slow, { signal: never, progress: (text) => texts.push(text) });
    t.equal(asked, 21);
    t.strictSame([...new Set(texts)], ["/readyz answers 500, failing: etcd, poststarthook/x"]);
  });

  t.test(
    "if readiness is not reached by the deadline, the step fails with the failing checks and the end of the journal",
    async (t) => {
      const os = await bootstrapped();
      os.answers.set(apiserver.url, failing);
      os.systemd.journals.set(
        apiserver.unit,
        Array.from({ length: 20 }, (_, line) => `line ${line}`),
      );
      const error = await step.apply(os, quiet).catch((thrown: unknown) => thrown);
      t.ok(error instanceof KhwError);
      t.match(error, { code: "NOT_READY", hint: "see `journalctl -u kube-apiserver.service` on the node" });
      t.match(
        String(error),
        /kube-apiserver is not ready after 180 s: \/readyz answers 500, failing: etcd, poststarthook\/x; its journal ends with:\n {2}line 12\n/,
      );
      t.match(String(error), / {2}line 19$/);
      t.notMatch(String(error), "line 11");
    },
  );

  t.test("the wait for readiness ends early if the service has exited or keeps crashing", async (t) => {
    const os = await bootstrapped();
    os.answers.delete(apiserver.url);
    const start = os.clock.now();
    os.systemd.crash(apiserver.unit, "exit-code");
    await t.rejects(step.apply(os, quiet), {
      code: "NOT_READY",
      message:
        "kube-apiserver does not stay up (exit-code): /readyz does not answer: connect ECONNREFUSED; its journal is empty",
    });
    let restarts = 7;
    const unit = async (name: string) => ({
      ...(await os.systemd.unit(name)),
      activeState: "activating",
      restarts: restarts++,
    });
    await t.rejects(step.apply({ ...os, systemd: { ...os.systemd, unit } }, quiet), {
      message: /^kube-apiserver does not stay up/,
    });
    t.ok(os.clock.now() - start < 10_000);
  });

  /** Applies the step to an API server that answers only some probes as ready. Probes are numbered from 1. */
  const applyFlapping = async (isReady: (asked: number) => boolean) => {
    const os = await bootstrapped();
    os.answers.set(apiserver.url, failing);
    os.systemd.journals.set(apiserver.unit, ["etcdserver: request timed out"]);
    let asked = 0;
    const http: typeof os.probes.http = async (url, options) => {
      if (url === apiserver.url && isReady(++asked)) return { status: 200, body: "ok" };
      return os.probes.http(url, options);
    };
    const texts: string[] = [];
    const emit = (event: StepEvent): void => {
      if (event.kind === "progress") texts.push(event.text);
    };
    const flapping = { ...os, probes: { ...os.probes, http } };
    const [result] = await applySteps([{ ...step, needs: [] }], flapping, { signal: never, emit });
    return { result, texts };
  };

  t.test("if readiness is lost right after the first good response, the step waits for readiness again", async (t) => {
    // The first check fails, the apply receives one good answer, and the check after the apply fails.
    const { result, texts } = await applyFlapping((asked) => asked === 2 || asked > 3);
    t.equal(result?.outcome, "changed");
    t.match(texts, ["again: /readyz answers 500, failing: etcd, poststarthook/x"]);
  });

  t.test("if readiness is lost after every good response, the step fails with the end of the journal", async (t) => {
    const { result } = await applyFlapping((asked) => asked % 2 === 0);
    t.match(result, {
      outcome: "failed",
      error: {
        code: "NOT_READY",
        message:
          /^kube-apiserver became ready 3 times, but each time was no longer ready at the next check: \/readyz answers 500.*\n {2}etcdserver: request timed out$/s,
        hint: "see `journalctl -u kube-apiserver.service` on the node",
      },
    });
  });

  t.test("the wait for readiness ends when the agent stops", async (t) => {
    const os = await bootstrapped();
    os.answers.set(apiserver.url, failing);
    const ending = new AbortController();
    const reason = new KhwError("INTERRUPTED", "the agent was stopped");
    await t.rejects(step.apply(os, { signal: ending.signal, progress: () => ending.abort(reason) }), reason);
  });

  t.test("the API server never counts as ready if the CA that verifies its identity is missing", async (t) => {
    t.match(await step.check(labMachine(), never), { summary: "/readyz cannot be verified: ca.pem is missing" });
  });
});

t.test("a controller", async (t) => {
  const steps = controllerSteps(labDesired(), { drained: false });
  const restarted = (changes: readonly string[]) => changes.filter((change) => /^(start|restart|reload) /.test(change));

  t.test(
    "a controller gets every file and service from the lab, and each step runs after the steps that it depends on",
    async (t) => {
      const ids = steps.map(({ id }) => id);
      for (const [index, { needs }] of steps.entries()) {
        for (const need of needs) t.ok(ids.indexOf(need) >= 0 && ids.indexOf(need) < index);
      }
      const os = labMachine();
      t.strictSame((await applyAll(steps, os)).errors, []);
      for (const [path, mode] of Object.entries({
        "/usr/local/bin/kube-apiserver": 0o755,
        "/usr/local/bin/kube-controller-manager": 0o755,
        "/usr/local/bin/kube-scheduler": 0o755,
        "/usr/local/bin/kubectl": 0o755,
        "/var/lib/kubernetes/ca.pem": 0o644,
        "/var/lib/kubernetes/ca-key.pem": 0o600,
        "/var/lib/kubernetes/kubernetes.pem": 0o644,
        "/var/lib/kubernetes/kubernetes-key.pem": 0o600,
        "/var/lib/kubernetes/service-account.pem": 0o644,
        "/var/lib/kubernetes/service-account-key.pem": 0o600,
        "/var/lib/kubernetes/encryption-config.yaml": 0o600,
        "/var/lib/kubernetes/kube-controller-manager.kubeconfig": 0o600,
        "/var/lib/kubernetes/kube-scheduler.kubeconfig": 0o600,
        "/etc/kubernetes/config/kube-scheduler.yaml": 0o644,
        "/etc/systemd/system/kube-apiserver.service": 0o644,
        "/etc/systemd/system/kube-controller-manager.service": 0o644,
        "/etc/systemd/system/kube-scheduler.service": 0o644,
        "/etc/nginx/sites-available/kubernetes.default.svc.cluster.local": 0o644,
      })) {
        t.match(await os.files.stat(path), { kind: "file", mode, uid: 0, gid: 0 }, path);
      }
      t.match(await os.files.stat("/etc/nginx/sites-enabled/kubernetes.default.svc.cluster.local"), {
        target: "/etc/nginx/sites-available/kubernetes.default.svc.cluster.local",
      });
      for (const unit of ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "nginx"]) {
        const status = await os.systemd.unit(`${unit}.service`);
        t.match(status, { activeState: "active", unitFileState: "enabled", needsReload: false }, unit);
      }
    },
  );

  t.test(
    "the plan for a new machine contains every necessary step, and the plan for a finished machine is empty",
    async (t) => {
      const os = createFakeOs();
      /**
       * These steps find no difference on a new machine. The same is true of the drop-in steps, because they check only
       * folders that exist.
       */
      const right = new Set([
        "identity",
        "folders/system",
        "front-proxy",
        "etcd-ca",
        "signing-ca",
        "config-files/removed",
        ...agentFolders.map((path) => `folder${path}`),
      ]);
      const differing = steps.map(({ id }) => id).filter((id) => !right.has(id) && !id.startsWith("drop-ins/"));
      t.strictSame(Object.keys(await planAll(steps, os)), differing);
      t.strictSame(os.changes(), [], "a plan changes nothing");
      const done = labMachine();
      await applyAll(steps, done);
      t.strictSame(await planAll(steps, done), {});
      const byDigest = labState().credentials.map(({ name, sha256 }) => ({ name, sha256, content: undefined }));
      t.strictSame(await planAll(controllerSteps(labDesired({ credentials: byDigest }), { drained: false }), done), {});
    },
  );

  t.test("a second run does not change a controller", async (t) => {
    const os = labMachine();
    await applyAll(steps, os);
    const before = [...os.changes()];
    const { changed, errors } = await applyAll(controllerSteps(labDesired(), { drained: false }), os);
    t.strictSame([changed, errors, os.changes()], [[], [], before]);
  });

  t.test(
    "with a signing CA, a controller does not have the key of the cluster's CA, and each component uses the right CA",
    async (t) => {
      const os = labMachine();
      await applyAll(steps, os);
      t.match(
        await os.files.stat("/var/lib/kubernetes/ca-key.pem"),
        { kind: "file" },
        "ca-key.pem exists before the change, as in the lab",
      );
      const separate = controllerSteps(labDesired({ credentials: credentialsOf({ signing: true }) }), {
        drained: false,
      });
      const before = os.systemd.changes.length;
      t.strictSame((await applyAll(separate, os)).errors, []);
      t.equal(await os.files.stat("/var/lib/kubernetes/ca-key.pem"), undefined);
      t.match(await os.files.stat("/var/lib/kubernetes/signing-ca-key.pem"), { kind: "file", mode: 0o600 });
      t.match(await os.files.stat("/var/lib/kubernetes/ca-bundle.pem"), { kind: "file", mode: 0o644 });
      const unit = async (name: string) => String(await os.files.read(`/etc/systemd/system/${name}.service`));
      const apiserver = await unit("kube-apiserver");
      t.match(apiserver, "--client-ca-file=/var/lib/kubernetes/ca-bundle.pem ");
      t.match(apiserver, "--kubelet-certificate-authority=/var/lib/kubernetes/ca-bundle.pem ");
      t.match(apiserver, "--etcd-cafile=/var/lib/kubernetes/ca.pem ");
      const manager = await unit("kube-controller-manager");
      t.match(manager, "--cluster-signing-cert-file=/var/lib/kubernetes/signing-ca.pem ");
      t.match(manager, "--cluster-signing-key-file=/var/lib/kubernetes/signing-ca-key.pem ");
      t.match(manager, "--root-ca-file=/var/lib/kubernetes/ca.pem ");
      t.strictSame(restarted(os.systemd.changes.slice(before)), [
        "restart kube-apiserver.service",
        "restart kube-controller-manager.service",
      ]);
      t.strictSame(await planAll(separate, os), {});
      os.files.put("/var/lib/kubernetes/ca-key.pem", "back", 0o600);
      t.strictSame(await planAll(separate, os), { "credential/ca-key.pem": "it exists" });
      t.strictSame((await applyAll(steps, os)).errors, []);
      for (const name of signingCredentialNames)
        t.equal(
          await os.files.stat(`/var/lib/kubernetes/${name}`),
          undefined,
          `without a signing CA, ${name} is removed`,
        );
      t.match(await unit("kube-controller-manager"), "--cluster-signing-cert-file=/var/lib/kubernetes/ca.pem ");
    },
  );

  t.test(
    "a controller gets the files and flags of an aggregation layer, and loses them when the layer is removed",
    async (t) => {
      const os = labMachine();
      await applyAll(steps, os);
      const unit = async () => String(await os.files.read("/etc/systemd/system/kube-apiserver.service"));
      const lab = await unit();
      const aggregated = controllerSteps(labDesired({ credentials: credentialsOf({ aggregation: true }) }), {
        drained: false,
      });
      const apply = async (wanted: typeof steps): Promise<string[]> => {
        const before = os.systemd.changes.length;
        t.strictSame((await applyAll(wanted, os)).errors, []);
        t.strictSame(await planAll(wanted, os), {});
        return restarted(os.systemd.changes.slice(before));
      };
      t.strictSame(await apply(aggregated), ["restart kube-apiserver.service"]);
      t.match(await os.files.stat("/var/lib/kubernetes/front-proxy-ca.pem"), { kind: "file", mode: 0o644 });
      t.match(await os.files.stat("/var/lib/kubernetes/front-proxy-client-key.pem"), { kind: "file", mode: 0o600 });
      t.match(await unit(), "--requestheader-client-ca-file=/var/lib/kubernetes/front-proxy-ca.pem ");
      os.files.put("/var/lib/kubernetes/front-proxy-client-key.pem", "changed", 0o600);
      t.match(Object.keys(await planAll(aggregated, os)), ["credential/front-proxy-client-key.pem"]);

      t.strictSame(await apply(steps), ["restart kube-apiserver.service"]);
      t.equal(await unit(), lab, "the unit file is again identical to the unit file from the lab");
      const left = (await os.files.list("/var/lib/kubernetes")).filter((name) => name.startsWith("front-proxy"));
      t.strictSame(left, []);
    },
  );

  t.test(
    "a controller keeps the key of the cluster's CA as long as a flag in khw.yaml refers to the key",
    async (t) => {
      const os = labMachine();
      await applyAll(steps, os);
      const set = { "cluster-signing-legacy-unknown-key-file": "/var/lib/kubernetes/ca-key.pem" };
      const flags = { "kube-controller-manager": { set, remove: [] } };
      const named = labDesired({ credentials: credentialsOf({ signing: true }), flags });
      t.strictSame((await applyAll(controllerSteps(named, { drained: false }), os)).errors, []);
      t.match(await os.files.stat("/var/lib/kubernetes/ca-key.pem"), { kind: "file" });
    },
  );

  t.test(
    "a controller keeps the files of an aggregation layer or a signing CA if khw did not write them",
    async (t) => {
      const os = labMachine();
      const own = ["front-proxy-ca.pem", "front-proxy-client-key.pem", "signing-ca-key.pem", "ca-bundle.pem"];
      for (const name of own) os.files.put(`/var/lib/kubernetes/${name}`, "own", 0o600);
      t.strictSame((await applyAll(steps, os)).errors, []);
      t.strictSame(await planAll(steps, os), {});
      for (const name of own) t.equal(os.files.text(`/var/lib/kubernetes/${name}`), "own", name);
    },
  );

  t.test("a controller keeps a front-proxy file to which a flag in khw.yaml refers", async (t) => {
    const os = labMachine();
    const file = "/var/lib/kubernetes/front-proxy-ca.pem";
    os.files.put(file, "own", 0o644);
    const set = { "requestheader-client-ca-file": file };
    const own = labDesired({ flags: { "kube-apiserver": { set, remove: [] } } });
    await applyAll(controllerSteps(own, { drained: false }), os);
    t.equal(String(await os.files.read(file)), "own");
  });

  t.test("an apply restarts only the components that read a changed credential", async (t) => {
    const readers = {
      "ca.pem": ["kube-apiserver", "kube-controller-manager"],
      "ca-key.pem": ["kube-controller-manager"],
      "kubernetes-key.pem": ["kube-apiserver"],
      "service-account-key.pem": ["kube-apiserver", "kube-controller-manager"],
      "encryption-config.yaml": ["kube-apiserver"],
      "kube-scheduler.kubeconfig": ["kube-scheduler"],
    };
    for (const [name, components] of Object.entries(readers)) {
      const os = labMachine();
      await applyAll(steps, os);
      const before = os.systemd.changes.length;
      os.clock.advance(1000);
      const content = Buffer.from("renewed");
      const credentials = labState().credentials.map((credential) =>
        credential.name === name ? { name, content, sha256: digest("renewed") } : credential,
      );
      const { errors, changed } = await applyAll(controllerSteps(labDesired({ credentials }), { drained: false }), os);
      t.strictSame(errors, []);
      const nginx = name === "ca.pem" ? ["reload nginx.service"] : [];
      t.strictSame(
        restarted(os.systemd.changes.slice(before)).toSorted(),
        [...nginx, ...components.map((component) => `restart ${component}.service`)].toSorted(),
        name,
      );
      t.ok(changed.includes(`credential/${name}`));
    }
  });

  t.test("a changed flag restarts only its component, but a new release restarts all three components", async (t) => {
    const os = labMachine();
    await applyAll(steps, os);
    let before = os.systemd.changes.length;
    const flags = { "kube-scheduler": { set: { v: "4" }, remove: [] } };
    t.strictSame((await applyAll(controllerSteps(labDesired({ flags }), { drained: false }), os)).changed, [
      "unit/kube-scheduler",
      "service/kube-scheduler",
    ]);
    t.strictSame(restarted(os.systemd.changes.slice(before)), ["restart kube-scheduler.service"]);
    before = os.systemd.changes.length;
    release(os, "v1.21.1");
    t.strictSame(
      (await applyAll(controllerSteps(labDesired({ kubernetesVersion: "v1.21.1", flags }), { drained: false }), os))
        .errors,
      [],
    );
    t.strictSame(restarted(os.systemd.changes.slice(before)).toSorted(), [
      "restart kube-apiserver.service",
      "restart kube-controller-manager.service",
      "restart kube-scheduler.service",
    ]);
  });

  t.test(
    "a run continues with all steps that do not depend on the failed step, and a second run applies the remaining steps",
    async (t) => {
      const os = labMachine();
      os.repository.delete("nginx");
      const scheduler = os.mirror.get("v1.21.0/bin/linux/amd64/kube-scheduler") ?? "";
      os.mirror.delete("v1.21.0/bin/linux/amd64/kube-scheduler");
      const first = await applyAll(steps, os);
      t.match(first.errors, [
        { code: "DOWNLOAD_FAILED", step: "release/kube-scheduler" },
        { code: "PACKAGE_FAILED", step: "package/nginx" },
      ]);
      t.ok(first.changed.includes("credential/ca.pem"));
      t.strictSame(
        steps.filter((_, index) => first.results[index]?.outcome === "skipped").map(({ id }) => id),
        [
          ...programs.map((program) => `binary/${program}`),
          "config/kube-scheduler.yaml",
          ...components.map((component) => `unit/${component}`),
          ...components.flatMap((component) => [`service/${component}`, `ready/${component}`]),
          "signing-ca",
          "front-proxy",
          "etcd-ca",
          "config-files/removed",
          "nginx/site",
          "nginx/link",
          "service/nginx",
          "ready/nginx",
        ],
      );
      os.repository.set("nginx", labMachine().repository.get("nginx") ?? { version: "" });
      os.mirror.set("v1.21.0/bin/linux/amd64/kube-scheduler", scheduler);
      t.strictSame((await applyAll(steps, os)).errors, []);
      t.strictSame(await planAll(steps, os), {});
    },
  );

  t.test(
    "a controller keeps the units and configuration of the running release if the new release cannot be downloaded",
    async (t) => {
      const os = labMachine();
      await applyAll(steps, os);
      const before = os.files.changes.length;
      const { errors } = await applyAll(
        controllerSteps(labDesired({ kubernetesVersion: "v1.25.0" }), { drained: false }),
        os,
      );
      t.match(errors[0], { code: "DOWNLOAD_FAILED" });
      t.notMatch(os.files.changes.slice(before).join(), /kube-scheduler\.yaml|\.service|usr\/local\/bin/);
    },
  );

  t.test("the plan, the results and the errors do not contain any keys", async (t) => {
    const os = labMachine();
    os.files.put("/var/lib/kubernetes/ca-key.pem", "an older secret", 0o644);
    const secrets = ["content of ca-key.pem", "content of encryption-config.yaml", "an older secret"];
    const told = JSON.stringify([await planAll(steps, os), await applyAll(steps, os)]);
    for (const secret of secrets) t.notOk(told.includes(secret), secret);
    t.match(await os.files.stat("/var/lib/kubernetes/ca-key.pem"), { mode: 0o600 });
  });
});
