import t from "tap";
import { loadConfig } from "../../../../client/config/load.ts";
import { Snapshot } from "../../../../proto/gen/khw/agent/v1/etcd.ts";
import { describeLoss, describePath, otherReleaseNote, secondsPerNode } from "../../../../client/upgrade/describe.ts";

const nodes = ["controller-0", "controller-1", "controller-2"];
const course = { from: "v1.22.3", to: "v1.23.0", direction: "forward", unfinished: undefined } as const;

t.test("the description lists the order of the nodes, the changes in the release, and the expected time", (t) => {
  t.match(describePath(course, { nodes, done: [], etcd: { from: "v3.5.30", to: "v3.5.30" }, checked: true }), [
    "upgrade from v1.22.3 to v1.23.0: controller-0, then controller-1, controller-2",
    /^changes with the release: kube-scheduler\.yaml uses v1beta3/,
    "etcd stays at v3.5.30",
    /^checked: health/,
    new RegExp(`${secondsPerNode} s for each node`),
  ]);
  t.end();
});

t.test("finished nodes are omitted, and an upgrade --back is described as going back", (t) => {
  const back = { ...course, from: "v1.21.1", to: "v1.21.0", direction: "back" } as const;
  t.match(describePath(back, { nodes, done: ["controller-0", "controller-2"], etcd: undefined, checked: false }), [
    "going back from v1.21.1 to v1.21.0: controller-1",
    /^expected time: \d+ s \(/,
  ]);
  t.end();
});

t.test("the description says whether the new programs emulate the previous release", (t) => {
  const minor = { from: "v1.31.4", to: "v1.32.1", direction: "forward", unfinished: undefined } as const;
  const line = (course: Parameters<typeof describePath>[0], emulation: { emulated?: string; ended?: string }) =>
    describePath(course, { nodes, done: [], etcd: undefined, checked: true, ...emulation }).filter((text) =>
      /emulat/.test(text),
    );
  t.match(line(minor, { emulated: "1.31" }), [
    /^the programs emulate 1\.31: .* upgrade --to v1\.32\.1 ends the emulation$/,
  ]);
  t.match(line(minor, {}), [/^without --emulate, there is no way back to 1\.31 after this upgrade/]);
  t.match(line({ ...minor, from: "v1.32.1" }, { ended: "1.31" }), [/^the programs stop emulating 1\.31: /]);
  t.strictSame(line({ ...minor, from: "v1.32.1", to: "v1.31.4", direction: "back" }, { ended: "1.31" }), []);
  t.strictSame(
    line({ ...minor, from: "v1.30.4", to: "v1.31.4" }, {}),
    [],
    "no emulation is suggested for 1.31, which cannot emulate another release",
  );
  t.strictSame(line({ ...minor, from: "v1.32.0" }, {}), [], "no emulation is suggested for a patch update");
  t.end();
});

t.test(
  "a restore with an older release states the loss, and the number of lost etcd changes if a member responds",
  (t) => {
    const takenUnixMillis = Date.parse("2026-01-31T12:00:00.123Z");
    const snapshot = { snapshot: Snapshot.fromPartial({ id: "marked", revision: 100, takenUnixMillis }), nodes: [] };
    const restore = {
      from: "v1.21.0",
      to: "v1.20.2",
      etcd: "v3.4.15",
      snapshot,
      restoreId: "r",
      stage: "begin",
    } as const;
    const lines = describeLoss(restore, { nodes, revision: 342 });
    t.match(lines[0], /from v1\.21\.0 to v1\.20\.2 with the data of 2026-01-31T12:00:00\.123Z: .*controller-2, all at/);
    t.equal(lines[1], "everything written since then will be lost (242 changes in etcd, including heartbeats)");
    t.match(lines.join("\n"), /etcd stays at v3\.4\.15/);
    t.match(lines.join("\n"), /^checked: /m);
    t.match(describeLoss({ ...restore, stage: "continue" }, { nodes, revision: 0 }).join("\n"), /has begun already/);
    t.equal(describeLoss(restore, { nodes, revision: 0 })[1], "everything written since then will be lost");
    t.end();
  },
);

t.test("a note is shown if the release in khw.yaml differs from the new release", async (t) => {
  const withVersion = (version: string | undefined) => ({ kubernetes: { ...kubernetes, version } });
  const { kubernetes } = await loadConfig({ file: undefined, flags: new Map(), folder: "/", env: {} });
  t.match(otherReleaseNote(withVersion("v1.21.0"), "v1.20.2"), /set kubernetes\.version to v1\.20\.2 in khw\.yaml/);
  t.equal(otherReleaseNote(withVersion("v1.20.2"), "v1.20.2"), undefined);
  t.equal(otherReleaseNote(withVersion(undefined), "v1.20.2"), undefined);
});
