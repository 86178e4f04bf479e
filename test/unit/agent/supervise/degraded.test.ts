/** Tests when the agent inspects a running component, and when it does not. */
import t from "tap";
import { healthCheckOf } from "../../../../agent/health/health.ts";
import type { UnitStatus } from "../../../../agent/os/systemd.ts";
import { createDegradation } from "../../../../agent/supervise/degraded.ts";
import { createFakeOs } from "../../../fakes/os.ts";

const unauthorized = "E1125 leaderelection.go:325] error retrieving resource lock kube-system/x: Unauthorized";

function looking(component: string) {
  const os = createFakeOs();
  const check = healthCheckOf(component);
  let reads = 0;
  let [line, mainPid] = ["", 7];
  const stream: typeof os.logs.stream = async function* () {
    reads += 1;
    yield { timeUnixMillis: os.clock.now(), text: line, priority: 3, pid: mainPid };
  };
  const log: string[] = [];
  const ailing = createDegradation({ check, os: { ...os, logs: { stream } }, log: (told) => void log.push(told) });
  return {
    reads: () => reads,
    /** Sets the log line that the component's process writes from now on. */
    writes: (text: string, pid = mainPid) => void ([line, mainPid] = [text, pid]),
    /** Runs the check once per beat for this many seconds. Returns the cause that the last check found. */
    after: async (seconds: number, reason: string | null = null): Promise<string | undefined> => {
      let cause: string | undefined;
      for (let beat = 0; beat < seconds; beat += 5) {
        os.clock.advance(5000);
        const unit: UnitStatus = { ...(await os.systemd.unit(check.unit)), activeState: "active", mainPid };
        cause = (await ailing.look(reason, unit))?.cause;
      }
      return cause;
    },
  };
}

t.test("the log of an API server client is inspected some time after its start, and then only rarely", async (t) => {
  const { after, reads } = looking("kube-scheduler");
  await after(10);
  t.equal(reads(), 0, "the log is not read yet, because the client may still be waiting for other components");
  await after(600);
  t.equal(reads(), 1);
  await after(600);
  t.equal(reads(), 2);
});

t.test("the cause of a degraded component is reported until the component no longer logs it", async (t) => {
  const { after, writes } = looking("kube-scheduler");
  writes(unauthorized);
  t.equal(await after(25), undefined, "the cause of a healthy component is not reported until it is confirmed");
  t.equal(await after(10), "client-unauthorized");
  writes(unauthorized, 8);
  t.equal(await after(5), "client-unauthorized", "a new process is examined before it counts as healthy");
  writes("I1125 all is quiet");
  t.equal(await after(10), undefined);
});

t.test("an authorization error that a client logs only during startup is not reported", async (t) => {
  const { after, writes } = looking("kube-scheduler");
  writes(unauthorized);
  t.equal(await after(15), undefined);
  writes("I1125 all is quiet");
  for (let minute = 0; minute < 20; minute++) t.equal(await after(60), undefined);
});

t.test("the log of an API server is inspected only while the API server is unhealthy", async (t) => {
  const { after, reads } = looking("kube-apiserver");
  await after(3600);
  t.equal(reads(), 0);
  t.equal(await after(30, "/readyz answers 500, failing: etcd"), "etcd-unreachable");
  t.ok(reads() > 2);
  t.equal(await after(5), undefined, "no cause is reported once the API server reports itself ready");
});

t.test("nginx is not inspected, because none of the known causes applies to nginx", async (t) => {
  const { after, reads } = looking("nginx");
  await after(60, "/healthz answers 502");
  t.equal(reads(), 0);
});
