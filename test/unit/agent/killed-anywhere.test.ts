/** The agent is killed after each of its changes to a machine. The next run ends with the same files. */
import t from "tap";

import type { Os } from "../../../agent/os/os.ts";
import { controllerSteps } from "../../../agent/steps.ts";
import type { FakeOs } from "../../fakes/os.ts";
import { programs } from "../../../proto/components.ts";
import { applyAll, etcdRelease, labDesiredWithEtcd, labMachine, planAll } from "../../fixtures/machine.ts";

/** The calls that change a machine, by part of the Os. */
const changing: Readonly<Partial<Record<keyof Os, readonly string[]>>> = {
  files: ["write", "append", "chmod", "chown", "mkdir", "symlink", "link", "rename", "remove"],
  systemd: ["reload", "enable", "start", "restart", "stop", "reloadService", "kill", "resetFailed"],
  packages: ["install"],
  downloads: ["file"],
  archives: ["extract"],
};

interface Mortal {
  readonly os: Os;
  /** Returns the number of changes that have begun. */
  readonly changes: () => number;
}

/** The machine as seen by an agent that is killed after this many changes. Every later call fails. */
function mortal(os: FakeOs, last: number): Mortal {
  let count = 0;
  const dead = (): never => {
    throw new Error("the agent is dead");
  };
  const parts = Object.entries(changing).map(([name, calls]) => {
    const part: unknown = Reflect.get(os, name);
    if (typeof part !== "object" || part === null) throw new TypeError(`the machine has no part ${name}`);
    const wrapped = new Proxy(part, {
      get: (target, key) => {
        const value: unknown = Reflect.get(target, key);
        if (typeof value !== "function") return value;
        return async (...given: readonly unknown[]): Promise<unknown> => {
          if (count >= last) dead();
          if (calls.includes(String(key))) count += 1;
          const answer: unknown = await Reflect.apply(value, target, [...given]);
          return count >= last ? dead() : answer;
        };
      },
    });
    return [name, wrapped] as const;
  });
  return { os: { ...os, ...Object.fromEntries(parts) }, changes: () => count };
}

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

/** Returns every path with its kind, mode, owner and content, and the names that share a file. */
async function allFiles(files: FakeOs["files"], folder = "/"): Promise<string[]> {
  const lines: string[] = [];
  for (const name of (await files.list(folder)).toSorted()) {
    const path = folder === "/" ? `/${name}` : `${folder}/${name}`;
    const facts = await files.stat(path);
    if (facts === undefined) throw new Error(`${path} is listed but missing`);
    const { kind, mode, uid, gid, target = "" } = facts;
    const content = kind === "file" ? await files.sha256(path) : target;
    lines.push([path, kind, mode.toString(8), `${uid}:${gid}`, content].join(" "));
    if (kind === "directory") lines.push(...(await allFiles(files, path)));
  }
  return lines;
}

/** The same desired state with a digest for each program, as khw-client sends it. */
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

for (const [given, desired] of [
  ["the mirror's digests", labDesiredWithEtcd()],
  ["the digests of khw.lock", pinned()],
] as const) {
  const steps = controllerSteps(desired, { drained: false });

  t.test(`killed after each change, the same steps produce the same machine, with ${given}`, async (t) => {
    const machine = bareMachine();
    const { os, changes } = mortal(machine, Infinity);
    t.strictSame((await applyAll(steps, os)).errors, []);
    const wanted = await allFiles(machine.files);
    t.ok(changes() > 80, `${changes()} changes`);

    for (let last = 1; last <= changes(); last++) {
      const machine = bareMachine();
      t.not((await applyAll(steps, mortal(machine, last).os)).errors.length, 0, `killed after change ${last}`);
      const label = `killed after change ${last}`;
      t.strictSame((await applyAll(steps, machine)).errors, [], label);
      t.strictSame(await allFiles(machine.files), wanted, label);
      t.strictSame(await planAll(steps, machine), {}, label);
    }
  });
}
