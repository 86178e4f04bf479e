import t from "tap";
import { keepAlive } from "../../../agent/notify.ts";
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
