import t from "tap";
import { describePath, secondsPerNode } from "../../../../client/upgrade/describe.ts";

const nodes = ["controller-0", "controller-1", "controller-2"];
const course = { from: "v1.22.3", to: "v1.23.0", direction: "forward", unfinished: undefined } as const;

t.test("the path names the order, the changes with the release, and the expected time", (t) => {
  t.match(describePath(course, { nodes, done: [], etcd: { from: "v3.5.30", to: "v3.5.30" } }), [
    "upgrade from v1.22.3 to v1.23.0: controller-0, then controller-1, controller-2",
    /^changes with the release: kube-scheduler\.yaml in v1beta3/,
    "etcd stays at v3.5.30",
    /^checked: health/,
    new RegExp(`${secondsPerNode} s for each node`),
  ]);
  t.end();
});

t.test("nodes that are done are left out, and the way back is named as such", (t) => {
  const back = { ...course, from: "v1.21.1", to: "v1.21.0", direction: "back" } as const;
  t.match(describePath(back, { nodes, done: ["controller-0", "controller-2"], etcd: undefined }), [
    "going back from v1.21.1 to v1.21.0: controller-1",
    /^checked/,
    /^expected time: \d+ s \(/,
  ]);
  t.end();
});

t.test("the path says whether the new programs emulate the release before", (t) => {
  const minor = { from: "v1.31.4", to: "v1.32.1", direction: "forward", unfinished: undefined } as const;
  const line = (course: Parameters<typeof describePath>[0], emulation: { emulated?: string; ended?: string }) =>
    describePath(course, { nodes, done: [], etcd: undefined, ...emulation }).filter((text) => /emulat/.test(text));
  t.match(line(minor, { emulated: "1.31" }), [
    /^the programs emulate 1\.31: .* upgrade --to v1\.32\.1 ends the emulation$/,
  ]);
  t.match(line(minor, {}), [/^without --emulate, there is no way back to 1\.31 after this upgrade/]);
  t.match(line({ ...minor, from: "v1.32.1" }, { ended: "1.31" }), [/^the programs stop emulating 1\.31: /]);
  t.strictSame(line({ ...minor, from: "v1.32.1", to: "v1.31.4", direction: "back" }, { ended: "1.31" }), []);
  t.strictSame(line({ ...minor, from: "v1.30.4", to: "v1.31.4" }, {}), [], "1.31 cannot emulate");
  t.strictSame(line({ ...minor, from: "v1.32.0" }, {}), [], "a patch needs no emulation");
  t.end();
});
