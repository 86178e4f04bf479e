import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { formatLock, type LockEntry } from "../../../../client/lock/entries.ts";
import { readLock } from "../../../../client/lock/file.ts";
import { lockPrograms, pinPrograms } from "../../../../client/lock/lock.ts";
import type { NodeWork } from "../../../../client/cluster/node-work.ts";
import { programs } from "../../../../proto/components.ts";
import type { DesiredState, ProgramDigest } from "../../../../proto/gen/khw/agent/v1/agent.ts";
import { createFakeCluster } from "../../../fakes/cluster.ts";
import { labState } from "../../../fixtures/lab-cluster.ts";
import { digest } from "../../../fixtures/machine.ts";

const root = await mkdtemp(join(tmpdir(), "khw-locked-"));
t.teardown(() => rm(root, { recursive: true }));

const etcd = {
  version: "v3.4.99",
  mirrors: ["https://github.com/etcd-io/etcd/releases/download"],
  sha256: {},
  strict: false,
  dedicatedDisk: false,
};

/** Creates three fake controllers and a khw.lock with these entries. Captures the messages to the user. */
async function scene(entries: readonly LockEntry[] = [], changes: Partial<DesiredState> = {}) {
  const { config, members: all } = await createFakeCluster(["controller-0", "controller-1", "controller-2"]);
  const lockFile = join(await mkdtemp(join(root, "case-")), "khw.lock");
  if (entries.length > 0) await writeFile(lockFile, formatLock(entries), { mode: 0o644 });
  const architectures: Record<string, string> = {};
  const members = all.flatMap(({ node, info }) => {
    if (info === undefined) return [];
    const architecture = (): string => architectures[node.address.name] ?? "amd64";
    return {
      node,
      info: {
        ...info,
        get architecture() {
          return architecture();
        },
      },
    };
  });
  const work: NodeWork[] = members.map(({ node }) => ({
    node,
    desired: labState({ etcd, ...changes }),
    maintenance: undefined,
  }));
  const notes: string[] = [];
  const progress = {
    emit: (event: { readonly kind: string; readonly text?: string }) => void notes.push(event.text ?? event.kind),
    settled: async () => {},
  };
  const cluster = { config: { ...config, lockFile }, members };
  /**
   * Records the digests that every agent reports for programs without a known digest. `change` makes one report differ.
   */
  const record = async (
    change: (answer: ProgramDigest, node: string) => ProgramDigest | undefined = (same) => same,
  ) => {
    const pinned = await pinPrograms(cluster, work);
    const reported = pinned.map(({ node, desired }) => ({
      node,
      programs: openIn(desired).flatMap((answer) => change(answer, node.address.name) ?? []),
    }));
    return lockPrograms(cluster, pinned, { reported, progress });
  };
  return { cluster, work, lockFile, notes, record, architectures };
}

/** Returns the report of an agent that finds its programs on the mirror. */
function openIn({ kubernetesVersion: version, binaries, etcd: store }: DesiredState): ProgramDigest[] {
  const names = programs.filter((program) => binaries?.sha256[program] === undefined);
  const archive =
    store !== undefined && store.sha256["amd64"] === undefined ? [{ program: "etcd", version: store.version }] : [];
  return [...names.map((program) => ({ program, version })), ...archive].map((item) => ({
    ...item,
    architecture: "amd64",
    sha256: digest(item.program),
    source: `https://mirror/${item.program}`,
  }));
}

function entry(program: string, content = program): LockEntry {
  const version = program === "etcd" ? etcd.version : "v1.21.0";
  return {
    program,
    version,
    arch: "amd64",
    sha256: digest(content),
    source: `https://mirror/${program}`,
    signatures: [],
  };
}

const everything = [...programs, "etcd"].map((program) => entry(program));
const digests = Object.fromEntries(programs.map((program) => [program, digest(program)]));

t.test("the first run records the digest of every program, and every node gets the digests", async (t) => {
  const { record, lockFile, notes } = await scene();
  for (const { desired } of await record()) {
    t.strictSame(desired.binaries?.sha256, digests);
    t.strictSame(desired.etcd?.sha256, { amd64: digest("etcd") });
  }
  t.strictSame((await readLock(lockFile)).length, 5);
  t.match(await readLock(lockFile), [entry("etcd"), entry("kube-apiserver")]);
  t.match(notes, [/khw\.lock: recorded the digests of 5 programs; commit this file/]);
});

t.test("later runs take the digests only from khw.lock and produce the same desired state", async (t) => {
  const first = await scene();
  const states = (await first.record()).map(({ desired }) => JSON.stringify(desired));
  const later = await scene(everything);
  const before = await readFile(later.lockFile, "utf8");
  t.strictSame(
    (await later.record(() => undefined)).map(({ desired }) => JSON.stringify(desired)),
    states,
  );
  t.equal(await readFile(later.lockFile, "utf8"), before);
  t.strictSame(later.notes, []);
});

t.test(
  "if one of three controllers reports a different digest, the error names both digests and nothing is recorded",
  async (t) => {
    const { record, lockFile } = await scene();
    const tampered = digest("tampered");
    await t.rejects(
      record((answer, node) =>
        node === "controller-2" && answer.program === "kubectl" ? { ...answer, sha256: tampered } : answer,
      ),
      {
        code: "DIGEST_MISMATCH",
        message: `kubectl v1.21.0 (amd64): the controllers report different SHA-256 digests: ${digest("kubectl")} for controller-0, controller-1 (https://mirror/kubectl); ${tampered} for controller-2 (https://mirror/kubectl)`,
        hint: /kubernetes\.sha256/,
      },
    );
    t.strictSame(await readLock(lockFile), []);
  },
);

t.test(
  "the recorded source of a digest is a mirror's URL if possible, and otherwise the machine that reported the digest",
  async (t) => {
    const { record, lockFile } = await scene();
    await record((answer, node) =>
      node === "controller-0" || answer.program === "kubectl" ? { ...answer, source: "" } : answer,
    );
    const sources = Object.fromEntries((await readLock(lockFile)).map(({ program, source }) => [program, source]));
    t.match(sources, { kubectl: "already on controller-0", etcd: "https://mirror/etcd" });
  },
);

t.test("an agent that reports no digest or an invalid digest is refused, and the error names the agent", async (t) => {
  for (const [change, message] of [
    [() => undefined, /reports no digest for kube-apiserver v1\.21\.0 \(amd64\)/],
    [(answer: ProgramDigest) => ({ ...answer, version: "v1.22.0" }), /reports no digest/],
    [(answer: ProgramDigest) => ({ ...answer, architecture: "arm64" }), /reports no digest/],
    [(answer: ProgramDigest) => ({ ...answer, sha256: "A".repeat(64) }), /reports "A+" as a digest/],
    [(answer: ProgramDigest) => ({ ...answer, source: "a\nb" }), /reports .* as the source of a program/],
    [(answer: ProgramDigest) => ({ ...answer, source: "s".repeat(5_000) }), /reports "s+\.\.\." as the source/],
  ] as const) {
    const { record, lockFile } = await scene();
    await t.rejects(record(change), { code: "INVALID_RESPONSE", node: "controller-0", message });
    t.strictSame(await readLock(lockFile), []);
  }
});

t.test("a digest in khw.yaml is used but not recorded, and a conflict with khw.lock names both digests", async (t) => {
  const given = digest("a build of one's own");
  const binaries = { mirrors: ["https://m"], proxy: "", caPem: "", sha256: { kubectl: given } };
  const fresh = await scene([], { binaries });
  for (const { desired } of await fresh.record()) t.equal(desired.binaries?.sha256["kubectl"], given);
  t.equal(
    (await readLock(fresh.lockFile)).some(({ program }) => program === "kubectl"),
    false,
  );
  const same = await scene([entry("kubectl", "a build of one's own")], { binaries });
  await t.resolves(same.record());
  const other = await scene(everything, { binaries });
  await t.rejects(pinPrograms(other.cluster, other.work), {
    code: "CONFIG_INVALID",
    message: `kubectl v1.21.0 (amd64): khw.yaml (kubernetes.sha256.kubectl) has ${given}, but ${other.lockFile} has ${digest("kubectl")}`,
    hint: /remove the wrong digest/,
  });
  const store = await scene(everything, { etcd: { ...etcd, sha256: { amd64: given } } });
  await t.rejects(pinPrograms(store.cluster, store.work), { message: /etcd v3\.4\.99 .*etcd\.sha256\.amd64/ });
});

t.test("a conflict between khw's built-in digests and khw.lock is an error", async (t) => {
  const lab = { ...entry("etcd", "tampered"), version: "v3.4.15" };
  const { cluster, work } = await scene([lab], { etcd: { ...etcd, version: "v3.4.15" } });
  await t.rejects(pinPrograms(cluster, work), { code: "CONFIG_INVALID", message: /khw's own list has 3bd00836/ });
});

t.test("entries for another release or architecture are ignored", async (t) => {
  const others = everything.flatMap((each) => [
    { ...each, version: "v1.22.0", sha256: digest("another") },
    { ...each, arch: "arm64", sha256: digest("another") },
  ]);
  const { record } = await scene(others);
  for (const { desired } of await record()) t.strictSame(desired.binaries?.sha256, digests);
});

t.test("controllers of different architectures get the digests of their own architecture", async (t) => {
  const arm = everything.map((each) => ({ ...each, arch: "arm64", sha256: digest(`arm64 ${each.program}`) }));
  const { record, architectures } = await scene([...everything, ...arm]);
  architectures["controller-1"] = "arm64";
  const [, other, last] = await record();
  t.equal(other?.desired.binaries?.sha256["kubectl"], digest("arm64 kubectl"));
  t.strictSame(other?.desired.etcd?.sha256, { arm64: digest("arm64 etcd") });
  t.strictSame(last?.desired.etcd?.sha256, { amd64: digest("etcd") });
  architectures["controller-1"] = "riscv64";
  await t.rejects(record(), { code: "INVALID_RESPONSE", node: "controller-1", message: /riscv64/ });
});

t.test("a mirror without TLS is refused if the digest of any program is unknown", async (t) => {
  const binaries = { mirrors: ["https://m", "http://me:secret@10.0.0.1/release"], proxy: "", caPem: "", sha256: {} };
  const plain = await scene([], { binaries });
  await t.rejects(pinPrograms(plain.cluster, plain.work), {
    code: "CONFIG_INVALID",
    message:
      'kubernetes.mirrors: "http://10.0.0.1/release" is not encrypted, and no digest is known for kube-apiserver, kube-controller-manager, kube-scheduler, kubectl v1.21.0',
    hint: /https mirror \(kubernetes\.caFile.*kubernetes\.sha256.*khw\.lock/,
  });
  const one = await scene(
    everything.filter(({ program }) => program !== "kubectl"),
    { binaries },
  );
  await t.rejects(pinPrograms(one.cluster, one.work), { message: /known for kubectl v1\.21\.0$/ });
  for (const changes of [{ binaries }, { binaries: { ...binaries, sha256: digests } }]) {
    const { cluster, work } = await scene(everything, changes);
    await t.resolves(pinPrograms(cluster, work), "the digests are known");
  }
  const store = { ...etcd, mirrors: ["HTTP://10.0.0.1/etcd"] };
  const archive = await scene([], { etcd: store });
  await t.rejects(pinPrograms(archive.cluster, archive.work), {
    message: /^etcd\.mirrors: .*known for etcd v3\.4\.99$/,
    hint: /etcd\.sha256/,
  });
  const shipped = await scene([], { etcd: { ...store, version: "v3.4.15" } });
  await t.resolves(pinPrograms(shipped.cluster, shipped.work), "the digest of the lab's release is built into khw");
  for (const mirror of ["https://m", "file:///srv/mirror", "/srv/mirror"]) {
    const { cluster, work } = await scene([], { binaries: { ...binaries, mirrors: [mirror] } });
    await t.resolves(pinPrograms(cluster, work), mirror);
  }
});
