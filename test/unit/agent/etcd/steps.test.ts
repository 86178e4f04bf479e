import t from "tap";
import { readMemberRecord } from "../../../../agent/etcd/record.ts";
import { checkLatency } from "../../../../agent/preflight/etcd-latency.ts";
import { renderEtcd, renderEtcdGuard } from "../../../../agent/render/etcd.ts";
import { controllerSteps } from "../../../../agent/steps.ts";
import { KhwError } from "../../../../proto/errors.ts";
import type { FakeOs } from "../../../fakes/os.ts";
import { Cluster } from "../../../../proto/gen/khw/agent/v1/agent.ts";
import { controllers, labState } from "../../../fixtures/lab-cluster.ts";
import { bareMachine, member, startsJoined, wiped } from "../../../fixtures/etcd-machine.ts";
import { applyAll, digest, labDesiredWithEtcd, never, planAll } from "../../../fixtures/machine.ts";

const desired = labDesiredWithEtcd();
const steps = controllerSteps(desired, { drained: false });
const [record, guard, joinDropIn] = [
  "/var/lib/khw-agent/etcd-member",
  "/etc/systemd/system/etcd.service.d/40-khw-member.conf",
  "/etc/systemd/system/etcd.service.d/60-khw-join.conf",
];

t.test("disk latency is tested only before an etcd member is created or changed", async (t) => {
  const bare = bareMachine();
  bare.writes = [50];
  t.match(await checkLatency(desired, bare, never), [{ message: /a small write to \/var\/lib\/etcd/ }]);
  const os = await member(t);
  os.probes.writes = async () => Promise.reject(new Error("the disk was tested"));
  t.strictSame(await checkLatency(desired, os, never), []);
  os.files.put("/etc/systemd/system/etcd.service", "another unit");
  await t.rejects(checkLatency(desired, os, never), /the disk was tested/);
});

t.test(
  "a bare machine becomes an etcd member, and its membership is recorded before the API server starts",
  async (t) => {
    const os = await member(t);
    t.match(await readMemberRecord(os.files), { stage: "member", clusterId: "4711", memberId: "10" });
    t.match(await os.files.stat(record), { mode: 0o600 });
    t.match(await os.files.stat("/var/lib/etcd"), { mode: 0o700 });
    t.match(await os.files.stat("/etc/etcd/kubernetes-key.pem"), { mode: 0o600 });
    t.equal(os.files.text("/etc/etcd/kubernetes.pem"), "content of kubernetes.pem");
    t.equal(os.files.text(guard), renderEtcdGuard());
    const { changes } = os.files;
    t.ok(changes.indexOf(`write ${record}`) < changes.indexOf("write /etc/systemd/system/etcd.service"));
    const started = os.systemd.changes.filter((change) => /^start (etcd|kube)/.test(change));
    t.strictSame(started.slice(0, 2), ["start etcd.service", "start kube-apiserver.service"]);
    t.match(await os.systemd.unit("etcd.service"), { unitFileState: "enabled", activeState: "active" });
  },
);

t.test("a rebuilt machine rejoins its old cluster instead of forming a new one", async (t) => {
  const os = bareMachine();
  for (const one of os.etcd.members) one.started = true;
  os.etcd.up.delete("10.240.0.10");
  const restart = os.systemd.restart.bind(os.systemd);
  os.systemd.restart = async (name, signal) => {
    if (name === "etcd.service") startsJoined(os);
    await restart(name, signal);
  };
  t.strictSame((await applyAll(steps, os)).errors, []);
  t.strictSame(os.etcd.changes, ["remove 10", "add 21", "promote 21"]);
  t.match(await readMemberRecord(os.files), { stage: "member", memberId: "21" });
});

t.test("the API server does not start if the etcd member is unhealthy", async (t) => {
  const os = bareMachine();
  os.answers.delete("https://127.0.0.1:2379/health");
  const { errors } = await applyAll(steps, os);
  t.match(errors, [{ code: "NOT_READY", step: "ready/etcd" }]);
  t.notOk(os.systemd.changes.includes("start kube-apiserver.service"));
  t.match(await readMemberRecord(os.files), { stage: "forming" });
});

t.test("changed certificates are installed without an etcd restart, but a changed CA causes a restart", async (t) => {
  const os = await member(t);
  const before = (await os.systemd.unit("etcd.service")).mainPid;
  const replaced = (...names: readonly string[]) =>
    labState().credentials.map(({ name, sha256, content }) => {
      const renewed = Buffer.from(`another ${name}`);
      return names.includes(name)
        ? { name, sha256: digest(`another ${name}`), content: renewed }
        : { name, sha256, content };
    });
  const leaf = labDesiredWithEtcd({ credentials: replaced("kubernetes.pem", "kubernetes-key.pem") });
  t.strictSame((await applyAll(controllerSteps(leaf, { drained: false }), os)).errors, []);
  t.equal(os.files.text("/etc/etcd/kubernetes.pem"), "another kubernetes.pem");
  t.equal((await os.systemd.unit("etcd.service")).mainPid, before);
  const ca = labDesiredWithEtcd({ credentials: replaced("ca.pem") });
  t.strictSame((await applyAll(controllerSteps(ca, { drained: false }), os)).errors, []);
  t.not((await os.systemd.unit("etcd.service")).mainPid, before);
});

t.test(
  "a member that lost its data is removed, rejoins as a learner, and is promoted once it has caught up",
  async (t) => {
    const os = await wiped(t);
    t.match(await planAll(steps, os), {
      "etcd/member": /^the member a has lost its data/,
      "service/etcd": /inactive/,
    });
    os.etcd.behind = 3;
    const { errors, events } = await applyAll(steps, os);
    t.strictSame(errors, []);
    t.strictSame(os.etcd.changes, ["remove 10", "add 21", "promote 21"]);
    t.match(events, [{ kind: "progress", step: "etcd/member", text: /in sync with leader/ }].slice(0, 0));
    t.match(await readMemberRecord(os.files), { stage: "member", clusterId: "4711", memberId: "21" });
    t.equal(os.files.text(joinDropIn), undefined, "the drop-in for joining is deleted");
    t.equal(
      os.files.text("/etc/systemd/system/etcd.service"),
      renderEtcd(desired),
      "etcd's unit file is still identical to the unit file from the lab",
    );
    t.strictSame([...os.etcd.keys], [], "the lock is released");
    t.strictSame(await planAll(steps, os), {});
  },
);

t.test("a member whose dedicated disk is not mounted is not replaced", async (t) => {
  const os = bareMachine();
  const wanted = controllerSteps(labDesiredWithEtcd({}, { dedicatedDisk: true }), { drained: false });
  t.match((await applyAll(wanted, os)).errors, [{ code: "DISK_MISSING", step: "etcd/disk" }]);
  t.equal(await os.files.stat("/var/lib/etcd"), undefined, "nothing is written below the mount point");
  t.equal(await readMemberRecord(os.files), undefined, "no member is created");

  await os.files.mkdir("/var/lib/etcd", 0o755);
  os.files.mounts.add("/var/lib/etcd");
  t.strictSame((await applyAll(wanted, os)).errors, []);
  t.match(
    os.files.text("/etc/systemd/system/etcd.service.d/50-khw-inputs.conf"),
    /^RequiresMountsFor=\/var\/lib\/etcd\nAssertPathIsMountPoint=\/var\/lib\/etcd$/m,
  );
  const remembered = await readMemberRecord(os.files);

  os.files.mounts.clear();
  await os.systemd.stop("etcd.service", never);
  t.match((await applyAll(wanted, os)).errors, [{ code: "DISK_MISSING", step: "etcd/disk" }]);
  const plan = await planAll(wanted, os);
  t.notMatch(JSON.stringify(plan), /is gone/, "the plan does not report that etcd's data is gone");
  t.strictSame(os.etcd.changes, [], "the cluster's members are unchanged");
  t.strictSame(await readMemberRecord(os.files), remembered);

  // systemd did not start the unit, because the folder in the unit's condition was missing. systemd does not retry when
  // the folder appears later.
  await os.systemd.keptDown("etcd.service");
  os.files.mounts.add("/var/lib/etcd");
  os.files.put("/var/lib/etcd/member/wal/0.wal", "data");
  const before = os.systemd.changes.length;
  t.strictSame((await applyAll(wanted, os)).errors, []);
  t.strictSame(os.systemd.changes.slice(before), ["start etcd.service"]);
  t.strictSame(os.etcd.changes, []);
});

t.test("a joining member starts with the cluster's current member list", async (t) => {
  const os = await wiped(t);
  const seen: string[] = [];
  const restart = os.systemd.restart.bind(os.systemd);
  os.systemd.restart = async (name, signal) => {
    seen.push(os.files.text(joinDropIn) ?? "");
    await restart(name, signal);
  };
  await applyAll(steps, os);
  t.match(
    seen[0],
    /^\[Unit\]\nConditionPathExists=\n\n\[Service\]\nType=exec\nExecStart=\nExecStart=\/usr\/local\/bin\/etcd/,
  );
  t.match(seen[0], "--initial-cluster-state existing");
  t.match(
    seen[0],
    "--initial-cluster controller-1=https://10.240.0.11:2380,controller-2=https://10.240.0.12:2380,controller-0=https://10.240.0.10:2380",
  );
});

t.test("member names from etcd cannot inject directives into the unit of a joining member", async (t) => {
  const os = await wiped(t);
  const other = os.etcd.members.find(({ id }) => id === "11");
  if (other === undefined) throw new TypeError("the cluster has no member with the ID 11");
  other.name = "x=y\nExecStartPre=/bin/false";
  const seen: string[] = [];
  const restart = os.systemd.restart.bind(os.systemd);
  os.systemd.restart = async (name, signal) => {
    seen.push(os.files.text(joinDropIn) ?? "");
    await restart(name, signal);
  };
  t.strictSame((await applyAll(steps, os)).errors, []);
  t.match(seen[0], "--initial-cluster controller-1=https://10.240.0.11:2380,controller-2=");
  t.notMatch(seen[0], "ExecStartPre");
});

t.test("an etcd member that is not a controller is reported, and no member is removed", async (t) => {
  const os = await wiped(t);
  const peerUrl = "https://10.240.0.99:2380";
  os.etcd.members.push({ id: "13", name: "stranger", peerUrl, learner: true, started: true });
  const { errors } = await applyAll(steps, os);
  t.match(errors, [
    { code: "SERVICE_FAILED", step: "etcd/member", message: /member d at "https:\/\/10\.240\.0\.99:2380"/ },
  ]);
  t.strictSame(os.etcd.changes, []);
  t.equal(os.files.text(joinDropIn), undefined);
});

t.test(
  "an agent that cannot trust its own observations does not remove a member and does not join the cluster",
  async (t) => {
    const os = await wiped(t);
    const sound = os.self;
    for (const doubt of [{ loopback: "connect EMFILE" }, { lateMillis: 5000 }, { freeBytes: 0 }, { memoryShare: 1 }]) {
      os.self = { ...sound, ...doubt };
      const { errors } = await applyAll(steps, os);
      t.match(errors, [{ code: "NOT_READY", step: "etcd/member", message: /cannot trust its own observations/ }]);
      t.strictSame([os.etcd.changes, os.files.text(joinDropIn)], [[], undefined], JSON.stringify(doubt));
    }
    os.self = sound;
    t.strictSame((await applyAll(steps, os)).errors, []);
    t.strictSame(os.etcd.changes, ["remove 10", "add 21", "promote 21"]);
  },
);

t.test("no member is removed if the other members have no quorum", async (t) => {
  for (const [what, spoil] of [
    ["1 other etcd members are healthy, but the quorum needs 2 of 3", (os: FakeOs) => os.etcd.up.delete("10.240.0.12")],
    ["no other etcd member can be reached", (os: FakeOs) => os.etcd.up.clear()],
    ["has no leader", (os: FakeOs) => Object.assign(os.etcd, { leader: false })],
    ["belongs to another cluster", (os: FakeOs) => Object.assign(os.etcd, { clusterId: "4712" })],
  ] as const) {
    const os = await wiped(t);
    spoil(os);
    const { errors } = await applyAll(steps, os);
    t.match(errors, [{ code: "NOT_READY", step: "etcd/member", hint: /restore a snapshot/ }]);
    t.match(errors[0]?.message, what);
    t.strictSame(os.etcd.changes, []);
    t.notOk(os.systemd.changes.slice(-1).includes("start etcd.service"), "etcd is not started again");
  }
});

t.test("no member is removed while the other members' certificates cannot be verified", async (t) => {
  const os = await wiped(t);
  const post = os.etcd.post.bind(os.etcd);
  os.etcd.post = async (server) => {
    throw new KhwError("CREDENTIAL_INVALID", `${server}: its certificate cannot be verified: certificate has expired`);
  };
  const { errors } = await applyAll(steps, os);
  t.match(errors, [{ code: "NOT_READY", step: "etcd/member", message: /cannot be verified: certificate has expired/ }]);
  t.strictSame([os.etcd.changes, os.files.text(joinDropIn)], [[], undefined]);
  os.etcd.post = post;
  t.strictSame((await applyAll(steps, os)).errors, []);
});

t.test("a member whose machine has a full disk is not removed from the cluster", async (t) => {
  const os = await wiped(t);
  const write = os.files.write.bind(os.files);
  os.files.write = async (path, ...rest) => {
    if (path === record) throw new KhwError("IO_FAILED", `${path}: no space left on device`);
    return write(path, ...rest);
  };
  const { errors } = await applyAll(steps, os);
  t.match(errors, [{ code: "IO_FAILED", step: "etcd/member" }]);
  t.strictSame([os.etcd.changes, os.files.text(joinDropIn)], [[], undefined]);
  os.files.write = write;
  t.strictSame((await applyAll(steps, os)).errors, []);
});

t.test("only one member can join at a time", async (t) => {
  const os = await wiped(t);
  os.etcd.keys.set(Buffer.from("/khw/etcd/join").toString("base64"), Buffer.from("controller-2").toString("base64"));
  const { errors } = await applyAll(steps, os);
  t.match(errors, [{ code: "BUSY", message: "controller-2 is changing etcd's members" }]);
  t.strictSame(os.etcd.changes, []);
});

t.test("an interrupted join resumes at the step that it had reached", async (t) => {
  t.test("a join that is interrupted before etcd starts resumes without adding a second member", async (t) => {
    const os = await wiped(t);
    os.systemd.restart = async () => Promise.reject(new Error("the machine lost power"));
    await applyAll(steps, os);
    t.match(await readMemberRecord(os.files), { stage: "joining", memberId: "21" });
    t.strictSame(os.etcd.changes, ["remove 10", "add 21"]);
    os.systemd.restart = async (name) => {
      if (name === "etcd.service") startsJoined(os);
      await os.systemd.start(name, AbortSignal.timeout(1000));
    };
    t.strictSame((await applyAll(steps, os)).errors, []);
    t.strictSame(os.etcd.changes, ["remove 10", "add 21", "promote 21"], "no second member is added");
  });

  t.test("if etcd's data is lost again during the join, the next run replaces the learner", async (t) => {
    const os = await wiped(t);
    os.etcd.behind = Infinity;
    t.match((await applyAll(steps, os)).errors, [{ code: "NOT_READY", message: /has not caught up/ }]);
    for (const path of ["member/wal/0.wal", "member/wal", "member"]) await os.files.remove(`/var/lib/etcd/${path}`);
    os.etcd.behind = 0;
    t.strictSame((await applyAll(steps, os)).errors, []);
    t.strictSame(os.etcd.changes, ["remove 10", "add 21", "remove 21", "add 23", "promote 23"]);
  });

  t.test("if a join is interrupted after the promotion, the next run removes the leftover drop-in", async (t) => {
    const os = await wiped(t);
    await applyAll(steps, os);
    os.files.put(joinDropIn, "left there");
    t.match(await planAll(steps, os), { "etcd/member": "the drop-in for joining the cluster still exists" });
    t.strictSame((await applyAll(steps, os)).errors, []);
    t.equal(os.files.text(joinDropIn), undefined);
    t.strictSame(os.etcd.changes, ["remove 10", "add 21", "promote 21"]);
  });
});

t.test("a changed list of initial controllers is refused both before and after the cluster has formed", async (t) => {
  const { cluster } = labState();
  if (cluster === undefined) throw new Error("the lab's desired state has no cluster");
  const fewer = labDesiredWithEtcd({ cluster: { ...cluster, controllers: controllers.slice(0, 2) } });
  const half = bareMachine();
  half.answers.delete("https://127.0.0.1:2379/health");
  await applyAll(steps, half);
  for (const [os, what] of [
    [await member(t), /^etcd on this machine is a member of the cluster controller-0=.*controller-2=/],
    [half, /^etcd on this machine was started as a member of the cluster controller-0=.*controller-2=/],
  ] as const) {
    const before = os.systemd.changes.length;
    const { errors } = await applyAll(controllerSteps(fewer, { drained: false }), os);
    t.match(errors, [{ code: "ETCD_CONFLICT", step: "etcd/begun", message: what }]);
    t.notOk(os.systemd.changes.slice(before).some((change) => change.endsWith("start etcd.service")));
  }
});

t.test("a member whose ID or cluster ID differs from the machine's record is reported as drift", async (t) => {
  const os = await member(t);
  Object.assign(os.etcd, { clusterId: "4712" });
  t.match(await planAll(steps, os), {
    "etcd/remembered": "it is the member a of the cluster 1268, but the record on this machine says a of 1267",
  });
  os.etcd.up.clear();
  t.strictSame(await planAll(steps, os), {}, "the plan is empty while etcd does not answer");
});

t.test("an invalid member record causes an error, and the machine is not treated as new", async (t) => {
  const os = await member(t);
  for (const text of ["", "{}", '{"stage":"member","members":{}}', "[]", '{"stage":"other","members":{}}']) {
    os.files.put(record, text);
    const { errors } = await applyAll(steps, os);
    t.match(errors[0], { code: "IO_FAILED", message: /is not a valid record of an etcd member/ }, text);
  }
});

t.test("a changed member list is written to the unit without restarting etcd", async (t) => {
  const os = await member(t);
  const smaller = labDesiredWithEtcd({
    cluster: Cluster.fromPartial({ ...labState().cluster, controllers: controllers.slice(0, 2) }),
  });
  const step = (id: string, of = smaller) => {
    const found = controllerSteps(of, { drained: false }).find((step) => step.id === id);
    return found === undefined ? [] : [{ ...found, needs: [] }];
  };
  const count = os.systemd.changes.length;
  for (const id of ["unit/etcd", "service/etcd"]) t.strictSame((await applyAll(step(id), os)).errors, []);
  t.match(
    os.files.text("/etc/systemd/system/etcd.service"),
    /--initial-cluster controller-0=[^,]+,controller-1=[^,]+ /,
  );
  t.notOk(os.systemd.changes.slice(count).some((change) => /^(restart|stop|start) /.test(change)));
  t.strictSame(await planAll(step("service/etcd"), os), {});
  const newer = { ...smaller, etcd: { ...smaller.etcd, version: "v3.4.100" } };
  t.match(await planAll(step("service/etcd", newer), os), { "service/etcd": /inputs have changed/ });
});

t.test("etcd is not restarted if the cluster would lose its quorum", async (t) => {
  const os = await member(t);
  const before = (await os.systemd.unit("etcd.service")).mainPid;
  const credentials = labState().credentials.map(({ name, sha256, content }) =>
    name === "ca.pem"
      ? { name, sha256: digest("another CA"), content: Buffer.from("another CA") }
      : { name, sha256, content },
  );
  const changed = controllerSteps(labDesiredWithEtcd({ credentials }), { drained: false });
  os.etcd.up.delete("10.240.0.12");
  const { errors } = await applyAll(changed, os);
  t.match(errors[0], {
    code: "WOULD_INTERRUPT",
    step: "service/etcd",
    message: /quorum needs 2 of 3 members.*; controller-2 is not healthy/,
  });
  t.equal((await os.systemd.unit("etcd.service")).mainPid, before);
  os.etcd.up.add("10.240.0.12");
  const post = os.etcd.post.bind(os.etcd);
  os.etcd.post = async (server, request) => {
    if (request.path === "/v3/cluster/member/list") throw new KhwError("NOT_READY", "the list times out");
    return post(server, request);
  };
  t.match((await applyAll(changed, os)).errors[0], { code: "WOULD_INTERRUPT", message: /the list times out/ });
  t.equal((await os.systemd.unit("etcd.service")).mainPid, before);
  os.etcd.post = post;
  t.strictSame((await applyAll(changed, os)).errors, []);
  t.not((await os.systemd.unit("etcd.service")).mainPid, before);
});
