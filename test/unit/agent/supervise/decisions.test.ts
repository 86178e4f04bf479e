/** Tests the supervisor's decisions without a machine. */
import t from "tap";
import { healthCheckOf } from "../../../../agent/health/health.ts";
import type { ProbeFailure } from "../../../../agent/os/failure.ts";
import type { ProbeResult } from "../../../../agent/os/probes.ts";
import type { UnitStatus } from "../../../../agent/os/systemd.ts";
import { isReported, restartBackoff } from "../../../../agent/supervise/backoff.ts";
import { backoffMillis } from "../../../../proto/backoff.ts";
import { crashed } from "../../../../agent/supervise/crash.ts";
import { afterCrash, afterRecovery, noCrashes } from "../../../../agent/supervise/crash-log.ts";
import { type Evidence, livenessOf } from "../../../../agent/health/life.ts";
import { countFailure, noFailures } from "../../../../agent/supervise/failures.ts";
import { turnAfter } from "../../../../agent/supervise/restart-lease.ts";

t.test("delays between consecutive restarts grow to at most five minutes and are randomized", async (t) => {
  t.strictSame(
    [0, 1, 2, 3, 4, 5, 6, 7, 5000].map((attempts) => backoffMillis(attempts, restartBackoff, 0.5)),
    [0, 10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000, 300_000],
  );
  t.strictSame([backoffMillis(1, restartBackoff, 0), backoffMillis(1, restartBackoff, 1)], [8000, 12_000]);
  t.strictSame(Array.from({ length: 20 }, (_, count) => count).filter(isReported), [1, 2, 4, 8, 16]);
});

t.test("without a lease, the controllers take turns by the clock, so that their restarts never coincide", async (t) => {
  const count = 3;
  const start = Date.UTC(2024, 0, 1, 12, 34, 56);
  const turns = Array.from({ length: 3000 }, (_, second) => start + second * 1000).map((now) =>
    [0, 1, 2].map((index) => now + turnAfter(now, { index, count })),
  );
  for (const [first = 0, second = 0, third = 0] of turns) {
    for (const apart of [second - first, third - second, third - first]) {
      if (Math.abs(apart) < 45_000) t.fail(`${apart} ms apart`);
    }
  }
  t.ok(turns.every((at, second) => at.every((turn) => turn - (start + second * 1000) <= 180_000)));
  t.equal(turnAfter(0, { index: 0, count: 1 }), 0);
});

const ok: ProbeResult = { status: 200, body: "ok" };
const without = (failure: ProbeFailure): ProbeResult => ({ status: 0, body: failure, failure });
const silent = without("silent");
const refused = without("refused");
const answers = (status: number, ...failing: readonly string[]): ProbeResult => ({
  status,
  body: failing.map((name) => `[-]${name} failed: reason withheld\n`).join(""),
});

t.test("each combination of health check results is classified as alive, dead or unknown", async (t) => {
  const life = (component: string, health: ProbeResult, evidence: Partial<Omit<Evidence, "health">> = {}) => {
    const sound = { second: undefined, apiServerWell: true, waiting: undefined, doubt: null };
    return livenessOf(healthCheckOf(component), { ...sound, ...evidence, health });
  };
  const hung = { kind: "dead", silent: true };
  const alive = { kind: "alive" };

  t.match(life("kube-apiserver", silent, { second: silent }), hung);
  t.match(life("kube-apiserver", refused), { kind: "dead", silent: false });
  t.match(
    life("kube-apiserver", silent, { second: ok }),
    alive,
    "an API server that is alive but not ready is not restarted",
  );
  t.match(
    life("kube-apiserver", answers(500, "etcd"), { second: ok }),
    alive,
    "an API server that has lost its connection to etcd counts as alive",
  );
  t.match(
    life("kube-apiserver", answers(500, "etcd", "poststarthook/x"), { second: answers(500, "poststarthook/x") }),
    alive,
    "an API server that waits for etcd counts as alive",
  );
  for (const check of ["kms-providers", "kms-provider-0"]) {
    const failing = answers(500, check);
    t.match(life("kube-apiserver", failing, { second: failing }), alive, `${check} does not cause a restart`);
    const others = answers(500, check, "poststarthook/x");
    t.match(life("kube-apiserver", others, { second: answers(500, "poststarthook/x") }), alive);
  }
  t.match(life("kube-apiserver", answers(500, "ping"), { second: answers(500, "ping") }), {
    kind: "dead",
    reason: "/livez answers 500, failing: ping",
  });
  t.match(life("kube-apiserver", answers(429), { second: answers(429) }), alive, "a busy server counts as alive");

  for (const component of ["kube-controller-manager", "kube-scheduler"]) {
    t.match(life(component, answers(500, "leaderElection")), { kind: "dead", silent: false });
    t.match(life(component, answers(500, "leaderElection"), { apiServerWell: false }), alive);
    t.match(life(component, silent, { apiServerWell: false }), hung);
  }
  for (const status of [404, 502, 503]) t.match(life("nginx", answers(status)), alive);
  t.match(life("nginx", silent), hung);
  t.match(life("etcd", answers(503)), alive);
  t.match(life("etcd", silent, { second: ok }), alive, "an etcd member that waits for a quorum counts as alive");
  t.match(life("etcd", silent, { second: silent }), hung);
});

t.test("a missing response counts against a component only if no fault of the agent explains it", async (t) => {
  const components = ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "nginx", "etcd"];
  const doubt = "the agent's own timers are 2000 ms late";
  const rows: readonly (readonly [ProbeFailure, Partial<Evidence>, "alive" | "unknown" | "hung" | "gone"])[] = [
    ["silent", {}, "hung"],
    ["silent", { waiting: 3 }, "hung"],
    ["silent", { doubt }, "unknown"],
    ["refused", {}, "gone"],
    ["refused", { doubt }, "unknown"],
    ["refused", { waiting: 0 }, "unknown"],
    ["unconnected", {}, "gone"],
    ["unconnected", { waiting: 128 }, "hung"],
    ["unconnected", { waiting: 128, doubt }, "unknown"],
    ["unconnected", { waiting: 0 }, "unknown"],
    ["closed", {}, "alive"],
    ["unverified", {}, "alive"],
    ["rejected", {}, "alive"],
    ["own", {}, "unknown"],
    ["own", { doubt }, "unknown"],
  ];
  for (const component of components) {
    for (const [failure, evidence, expected] of rows) {
      for (const second of [undefined, without(failure)]) {
        const sound = { apiServerWell: true, waiting: undefined, doubt: null };
        const health = without(failure);
        const life = livenessOf(healthCheckOf(component), { ...sound, ...evidence, health, second });
        const found = life.kind === "dead" ? (life.silent ? "hung" : "gone") : life.kind;
        t.equal(
          found,
          expected,
          `${component} is classified correctly after ${failure} with ${JSON.stringify(evidence)}`,
        );
      }
    }
    const unexplained = {
      health: { status: 0, body: "?" },
      second: undefined,
      apiServerWell: true,
      waiting: undefined,
    };
    t.match(livenessOf(healthCheckOf(component), { ...unexplained, doubt: null }), { kind: "unknown" });
  }
});

t.test(
  "failures count only if they are consecutive and the process has been alive or has had time to start",
  async (t) => {
    const dead = { kind: "dead", reason: "", silent: false } as const;
    const row = (...beats: readonly { pid: number; life: "dead" | "alive"; activeMillis: number }[]) =>
      beats.reduce(
        (record, beat) => countFailure(record, { ...beat, liveness: beat.life === "dead" ? dead : { kind: "alive" } }),
        noFailures,
      ).failures;
    const young = { pid: 7, life: "dead", activeMillis: 5000 } as const;
    const lived = { ...young, life: "alive" } as const;
    t.equal(row(young, young, young), 0);
    t.equal(row(lived, young, young), 2);
    t.equal(row(lived, young, lived, young), 1);
    t.equal(row(lived, young, { ...young, pid: 8 }), 0);
    t.equal(row({ ...young, activeMillis: 120_000 }, { ...young, activeMillis: 125_000 }), 2);
    const record = { pid: 7, answeredOnce: false, failures: 2 };
    const unknown = { kind: "unknown", reason: "the agent could not probe" } as const;
    t.match(countFailure(record, { liveness: unknown, pid: 7, activeMillis: 1 }), { answeredOnce: false, failures: 0 });
  },
);

const running: UnitStatus = {
  loadState: "loaded",
  activeState: "active",
  subState: "running",
  unitFileState: "enabled",
  result: "success",
  needsReload: false,
  mainPid: 7,
  activeSince: 1,
  activeMonotonic: 1,
  stateSince: 1,
  restarts: 0,
};

t.test("a component that exits by itself is distinguished from a component that was stopped", async (t) => {
  const stopped = { ...running, activeState: "inactive", subState: "dead", mainPid: 0 };
  const failed = { ...stopped, activeState: "failed", subState: "failed", result: "exit-code" };
  const waiting = { ...stopped, activeState: "activating", subState: "auto-restart", result: "signal" };
  const again = { ...running, mainPid: 8, restarts: 1 };
  const [ordered, byItself] = [true, false];

  t.equal(crashed(running, waiting, byItself), true);
  t.equal(crashed(waiting, again, byItself), false, "the restart after a crash does not count as another crash");
  t.equal(
    crashed(running, again, byItself),
    true,
    "a crash is counted even if the auto-restart state was not observed",
  );
  t.equal(crashed(again, { ...waiting, restarts: 1 }, byItself), true, "the next crash is counted");
  t.equal(
    crashed({ ...again, restarts: 9 }, running, byItself),
    false,
    "a start that resets systemd's restart counter does not count as a crash",
  );
  t.equal(crashed(running, failed, byItself), true);
  t.equal(crashed(failed, failed, byItself), false);
  t.equal(
    crashed(running, failed, ordered),
    false,
    "a program that exits with an error code while it is being stopped does not count as crashed",
  );
  t.equal(crashed(running, { ...failed, result: "signal" }, ordered), true);
  t.equal(
    crashed(running, stopped, byItself),
    true,
    "a component counts as crashed if somebody else's SIGTERM ended it",
  );
  t.equal(crashed(running, stopped, ordered), false);
  t.equal(
    crashed(undefined, failed, byItself),
    true,
    "a component counts as crashed if it had failed before the agent started",
  );
  t.equal(crashed(undefined, running, byItself), false);
});

t.test("a component that crashes every five seconds for a week causes only a few log lines", async (t) => {
  let [episode, told, now] = [noCrashes, 0, 1];
  for (let count = 0; count < (7 * 86_400) / 5; count++) {
    for (const after of [afterCrash, afterRecovery]) {
      const { series: next, report: news } = after(episode, (now += 2500));
      episode = next;
      if (news.kind !== "none") told += 1;
    }
  }
  t.equal(told, 34);
  const later = afterCrash(episode, now + 200_000);
  t.match(
    later.report,
    { kind: "crashed", count: 1 },
    "after a period without crashes, the next crash counts as the first one",
  );
  t.match(afterRecovery(later.series, now + 206_200).report, { kind: "back", downMillis: 6200 });
});
