import t from "tap";
import { pathObstacles } from "../../../../client/release/path.ts";

interface Case {
  /** The releases of controller-0, controller-1 and so on. */
  readonly running: readonly string[];
  readonly wanted: string;
  /** The message of the obstacle, or undefined if the change is allowed. */
  readonly refused?: string;
  /** The hint that goes with the message. */
  readonly hint?: string;
}

function obstacles(program: "Kubernetes" | "etcd", { running, wanted }: Case, allowDowngrade = false) {
  const releases = running.map((version, index) => ({ node: `controller-${index}`, version }));
  return pathObstacles(releases, { program, wanted, allowDowngrade });
}

const kubernetes: readonly Case[] = [
  { running: [], wanted: "v1.25.0" },
  { running: ["v1.21.0", "v1.21.0"], wanted: "v1.21.0" },
  { running: ["v1.21.0"], wanted: "v1.21.14" },
  { running: ["v1.21.9"], wanted: "v1.21.10" },
  { running: ["v1.20.15"], wanted: "v1.21.0" },
  { running: ["v1.21.0", "v1.20.2"], wanted: "v1.21.0" },
  {
    running: ["v1.21.0"],
    wanted: "v1.25.0",
    refused:
      "Kubernetes v1.21.0 cannot be changed to v1.25.0 in one step: each update advances by only one minor release",
    hint: "go to the newest patch of v1.22, then of v1.23, then of v1.24, then to v1.25.0",
  },
  {
    running: ["v1.21.0", "v1.20.2"],
    wanted: "v1.22.0",
    refused:
      "Kubernetes v1.20.2 cannot be changed to v1.22.0 in one step: each update advances by only one minor release",
  },
  {
    running: ["v1.21.0", "v1.20.2", "v1.20.2"],
    wanted: "v1.21.1",
    refused:
      "the update of Kubernetes from v1.20.2 to v1.21.0 is not finished: v1.21.0 on controller-0; v1.20.2 on controller-1, controller-2",
    hint: "set kubernetes.version to v1.21.0 to finish that update, then update to v1.21.1",
  },
  {
    running: ["v1.22.0"],
    wanted: "v1.21.14",
    refused: "Kubernetes v1.22.0 cannot be changed to v1.21.14: a lower minor release is not supported",
  },
  {
    running: ["v1.21.0", "v1.20.3", "v1.20.2"],
    wanted: "v1.21.0",
    refused:
      "3 releases of Kubernetes run side by side: v1.21.0 on controller-0; v1.20.3 on controller-1; v1.20.2 on controller-2",
  },
  {
    running: ["v1.22.0", "v1.22.0-rc.1"],
    wanted: "v1.21.0",
    refused: "Kubernetes v1.22.0 cannot be changed to v1.21.0: a lower minor release is not supported",
  },
];

const etcd: readonly Case[] = [
  { running: [], wanted: "v3.6.0" },
  { running: ["v3.4.15"], wanted: "v3.4.23" },
  { running: ["v3.4.23"], wanted: "v3.5.16" },
  { running: ["v3.5.26"], wanted: "v3.6.11" },
  { running: ["v3.5.1", "v3.5.1"], wanted: "v3.5.1" },
  {
    running: ["v3.4.23"],
    wanted: "v3.6.0",
    refused: "etcd v3.4.23 cannot be changed to v3.6.0 in one step: each update advances by only one minor release",
    hint: "go to the newest patch of v3.5, then to v3.6.0",
  },
  {
    running: ["v3.5.16"],
    wanted: "v3.6.0",
    refused: "etcd v3.5.16 cannot be changed to v3.6.0: removed members can come back",
    hint: "update to v3.5.26 or a later v3.5 release first",
  },
  {
    running: ["v3.4.23"],
    wanted: "v3.5.2",
    refused: "etcd v3.5.2 can corrupt its data after a crash",
    hint: "set etcd.version to v3.5.3 or later",
  },
  {
    running: ["v3.5.16"],
    wanted: "v3.4.23",
    refused: "etcd v3.5.16 cannot be changed to v3.4.23: a lower minor release is not supported",
    hint: "set etcd.version to v3.5.16, or restore a snapshot that was taken before the update",
  },
];

for (const [program, cases] of [
  ["Kubernetes", kubernetes],
  ["etcd", etcd],
] as const) {
  for (const one of cases) {
    const { running, wanted, refused, hint } = one;
    t.test(`${program}: ${running.join(", ") || "new"} to ${wanted}`, async (t) => {
      const [found, ...more] = obstacles(program, one);
      t.strictSame([found?.message, more], [refused, []]);
      if (hint !== undefined) t.equal(found?.hint, hint);
    });
  }
}

t.test("--allow-downgrade allows only an older patch release and the reversal of an unfinished update", async (t) => {
  const allowed: readonly Case[] = [
    { running: ["v1.21.14"], wanted: "v1.21.0" },
    { running: ["v1.21.0", "v1.20.2"], wanted: "v1.20.2" },
  ];
  for (const one of allowed) {
    t.match(obstacles("Kubernetes", one), [{ code: "RELEASE_REFUSED", hint: /--allow-downgrade/ }]);
    t.strictSame(obstacles("Kubernetes", one, true), []);
  }
  t.equal(obstacles("Kubernetes", { running: ["v1.22.0"], wanted: "v1.21.0" }, true).length, 1);
  t.equal(obstacles("Kubernetes", { running: ["v1.22.0", "v1.21.1"], wanted: "v1.21.0" }, true).length, 1);
});

t.test("--allow-downgrade permits neither a third release nor a release that corrupts data", async (t) => {
  const third = { running: ["v1.21.3", "v1.21.1"], wanted: "v1.21.0" };
  t.match(obstacles("Kubernetes", third, true), [{ message: /is not finished/, hint: /go back to v1\.21\.1/ }]);
  t.strictSame(obstacles("Kubernetes", { ...third, wanted: "v1.21.1" }, true), []);
  const corrupting = { running: ["v3.5.30"], wanted: "v3.5.1" };
  t.match(obstacles("etcd", corrupting, true), [{ message: /can corrupt its data/ }]);
  t.strictSame(obstacles("etcd", { running: ["v3.5.30"], wanted: "v3.5.16" }, true), []);
});
