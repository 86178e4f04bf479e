import t from "tap";
import { createNotifier, keepAlive } from "../../../agent/notify.ts";
import { createProgress } from "../../../agent/reconcile/progress.ts";
import { createFakeClock } from "../../fakes/os.ts";

t.test("watchdog notifications stop while the reconciler hangs, and the reason is logged only once", async (t) => {
  const clock = createFakeClock(0);
  const progress = createProgress(
    () => clock.monotonic(),
    () => clock.now(),
  );
  const lines: string[] = [];
  let sent = 0;
  const beat = keepAlive({ stuck: () => progress.stuck(), send: () => sent++, log: (line) => lines.push(line) });
  beat();
  clock.advance(3_600_000);
  beat();
  t.equal(sent, 2, "an idle reconciler does not stop the heartbeat");
  progress.begun();
  clock.advance(500_000);
  progress.made("service/nginx");
  clock.advance(500_000);
  beat();
  t.equal(sent, 3, "slow progress does not stop the heartbeat");
  clock.advance(500_000);
  beat();
  beat();
  t.equal(sent, 3);
  t.match(lines, [/withholding the watchdog's keep-alive.*service\/nginx/]);
  t.equal(lines.length, 1);
  progress.ended();
  beat();
  t.equal(sent, 4);
});

t.test("progress is sent at most once a second, and a status at once", async (t) => {
  const sent: string[] = [];
  const arrived = Promise.withResolvers<void>();
  const ending = new AbortController();
  t.teardown(() => ending.abort());
  const notifier = createNotifier({
    env: { NOTIFY_SOCKET: "/run/systemd/notify" },
    log: (line) => t.fail(line),
    signal: ending.signal,
    run: async (args) => {
      sent.push(...args);
      if (args.includes("--status=serving")) arrived.resolve();
    },
  });
  const begun = performance.now();
  notifier.status("waiting");
  for (const step of ["first", "second", "third"]) notifier.progress(step);
  notifier.status("serving");
  await arrived.promise;
  t.ok(performance.now() - begun < 900, "the status did not wait for the end of the second");
  t.same(sent, ["--status=waiting", "--status=serving"]);
  await notifier.stopping();
  t.same(sent.slice(2), ["STOPPING=1", "--status=stopping"]);
});

t.test("the newest progress is sent when the second is over", async (t) => {
  const sent: string[] = [];
  const arrived = Promise.withResolvers<void>();
  const notifier = createNotifier({
    env: { NOTIFY_SOCKET: "/run/systemd/notify" },
    log: (line) => t.fail(line),
    signal: new AbortController().signal,
    run: async (args) => {
      sent.push(...args);
      if (sent.length === 2) arrived.resolve();
    },
  });
  const running = setInterval(() => {}, 1_000);
  t.teardown(() => clearInterval(running));
  const begun = performance.now();
  for (const step of ["first", "second", "third"]) notifier.progress(step);
  await arrived.promise;
  t.ok(performance.now() - begun > 900);
  t.same(sent, ["--status=first", "--status=third"]);
});
