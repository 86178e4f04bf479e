import t from "tap";

import { growth } from "../../soak/fit.ts";

const points = (value: (at: number) => number) =>
  Array.from({ length: 301 }, (_, index) => ({ at: index * 10, value: value(index * 10) }));
/** Returns values that are as uneven as memory usage with a garbage collector, but the same in each run. */
const noise = (at: number): number => ((at * 7919) % 101) / 101 - 0.5;

t.test("a slow leak is detected as growth in spite of noise", async (t) => {
  const grown = growth(points((at) => 80 + at * 0.005 + 4 * noise(at)));
  t.ok(Math.abs(grown - 10) < 1, `a growth of about 10 is found: ${grown}`);
});

t.test("a warm-up during the first third is not counted as growth", async (t) => {
  const grown = growth(points((at) => 80 + Math.min(at, 900) * 0.02));
  t.ok(Math.abs(grown) < 0.01, `no growth is found: ${grown}`);
});

t.test("neither noise alone nor shrinking values count as growth", async (t) => {
  t.ok(Math.abs(growth(points((at) => 80 + 4 * noise(at)))) < 0.5);
  t.ok(growth(points((at) => 80 - at * 0.001)) < 0);
});

t.test("growth cannot be determined from a single value", async (t) => {
  t.throws(() => growth([{ at: 0, value: 1 }]), /too few points/);
  t.throws(() => growth([]), /too few points/);
});
