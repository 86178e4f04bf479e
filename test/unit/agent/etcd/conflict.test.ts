import t from "tap";
import { findConflict, memberStarted } from "../../../../agent/etcd/conflict.ts";
import { writeMemberRecord } from "../../../../agent/etcd/record.ts";
import { preflight } from "../../../../agent/preflight/preflight.ts";
import { initialCluster, renderEtcd } from "../../../../agent/render/etcd.ts";
import { controllerSteps } from "../../../../agent/steps.ts";
import { createFakeOs, type FakeOs } from "../../../fakes/os.ts";
import { applyAll, labDesiredWithEtcd, never } from "../../../fixtures/machine.ts";

const desired = labDesiredWithEtcd();
const unit = "/etc/systemd/system/etcd.service";

async function findings(os: FakeOs): Promise<string[]> {
  const found = await preflight(desired, os, never);
  t.strictSame(os.changes(), [], "nothing is changed");
  return found.map(({ message }) => message);
}

t.test("a new machine passes the check without a running etcd", async (t) =>
  t.strictSame(await findings(createFakeOs()), []),
);

t.test("preflight rejects an etcd that khw did not set up, and the hint says how to keep that etcd", async (t) => {
  for (const [what, path, content] of [
    [unit, unit, renderEtcd(desired).replace("--name controller-0", "--name etcd0")],
    ["data in /var/lib/etcd/member", "/var/lib/etcd/member/wal/0.wal", "data"],
    ["a package's etcd.service", "/lib/systemd/system/etcd.service", "[Service]\nExecStart=/usr/bin/etcd\n"],
  ] as const) {
    const os = createFakeOs();
    os.files.put(path, content);
    t.strictSame(await findings(os), [`this machine has an etcd that khw did not set up: ${what}`]);
    const [finding] = await preflight(desired, os, never);
    t.match(finding, { code: "ETCD_CONFLICT", hint: /etcd\.mode: external/ });
    const { errors } = await applyAll(controllerSteps(desired, { drained: false }), os);
    const own = errors.find(({ step }) => step === "etcd/begun");
    t.equal(own?.code, "ETCD_CONFLICT", "a client that skips preflight gets the same error");
    if (path === unit) t.equal(os.files.text(unit), content, "the unit file of the existing etcd is not overwritten");
  }
});

t.test("an existing etcd whose unit differs from khw's only in formatting is adopted", async (t) => {
  for (const text of [
    renderEtcd(desired),
    renderEtcd(desired).replaceAll(" \\\n  ", " "),
    `${renderEtcd(desired)}\n`,
  ]) {
    const os = createFakeOs();
    os.files.put(unit, text);
    os.files.put("/var/lib/etcd/member/wal/0.wal", "data");
    os.listeners.set(2379, { pid: 7, name: "etcd" });
    t.strictSame(await findings(os), []);
  }
});

t.test("preflight reports a required dedicated disk that is not mounted", async (t) => {
  const wanted = labDesiredWithEtcd({}, { dedicatedDisk: true });
  const os = createFakeOs();
  const found = async () => (await preflight(wanted, os, never)).map(({ message }) => message);
  t.match(await found(), [/^no disk is mounted at \/var\/lib\/etcd/]);
  await os.files.mkdir("/var/lib/etcd", 0o755);
  t.match(await found(), [/^no disk is mounted at \/var\/lib\/etcd/]);
  os.files.mounts.add("/var/lib/etcd");
  t.strictSame(await found(), []);
});

t.test("preflight reports etcd ports that another program uses", async (t) => {
  const os = createFakeOs();
  os.listeners.set(2379, { pid: 7, name: "consul" });
  os.listeners.set(2380, { pid: 8, name: "nc" });
  t.strictSame(await findings(os), ["port 2379 is in use by consul (pid 7)", "port 2380 is in use by nc (pid 8)"]);
});

t.test("preflight reports an etcd member record that cannot be read", async (t) => {
  const os = createFakeOs();
  os.files.put("/var/lib/khw-agent/etcd-member", "spoilt");
  t.strictSame(await findings(os), ["/var/lib/khw-agent/etcd-member is not a valid record of an etcd member"]);
});

t.test("an etcd member counts as started if it has data or a record, even if the record is damaged", async (t) => {
  t.equal(await memberStarted(createFakeOs().files), false);
  for (const path of ["/var/lib/khw-agent/etcd-member", "/var/lib/etcd/member/wal/0.wal"]) {
    const { files } = createFakeOs();
    files.put(path, "spoilt");
    t.equal(await memberStarted(files), true, path);
  }
});

t.test(
  "a machine whose internal address has changed is refused with a hint that names the right command",
  async (t) => {
    const os = createFakeOs();
    const members = new Map([...initialCluster(desired), ["controller-0", "https://10.240.0.99:2380"]]);
    await writeMemberRecord(os.files, { stage: "member", members, clusterId: "4711", memberId: "10" });
    t.match(await findConflict(desired, os, never), {
      code: "ETCD_CONFLICT",
      message:
        "the internal address of controller-0 is 10.240.0.10 now, but its etcd member is at https://10.240.0.99:2380",
      hint: /khw-client replace controller-0 --with NEW-NAME --dead/,
    });
  },
);
