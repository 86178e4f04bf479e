import t from "tap";
import { backoffMillis } from "../../../proto/backoff.ts";

const backoff = { firstMillis: 100, maxMillis: 1000 };

t.test("delays double up to the limit, even after very many failures", async (t) => {
  t.strictSame(
    [0, 1, 2, 3, 4, 5, 6, 5000].map((failures) => backoffMillis(failures, backoff, 0.5)),
    [0, 100, 200, 400, 800, 1000, 1000, 1000],
  );
});

t.test("each delay varies by up to a fifth in both directions", async (t) => {
  t.strictSame([backoffMillis(1, backoff, 0), backoffMillis(1, backoff, 1)], [80, 120]);
  const delays = new Set(Array.from({ length: 50 }, () => backoffMillis(4, backoff)));
  t.ok(delays.size > 1);
  t.ok([...delays].every((millis) => millis >= 640 && millis <= 960));
});
