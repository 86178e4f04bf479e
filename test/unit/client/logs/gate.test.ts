import { setImmediate } from "node:timers/promises";
import t from "tap";
import { createGate } from "../../../../client/logs/gate.ts";

t.test(
  "a gate admits a limited number of callers at once, admits waiting callers in order, and ignores a repeated leave",
  async (t) => {
    const gate = createGate(2);
    const [first, second] = await Promise.all([gate.enter(), gate.enter()]);
    const entered: string[] = [];
    const enter = async (name: string): Promise<() => void> => {
      const leave = await gate.enter();
      entered.push(name);
      return leave;
    };
    const third = enter("third");
    const fourth = enter("fourth");
    await setImmediate();
    t.same(entered, []);
    first();
    first();
    await setImmediate();
    t.same(entered, ["third"]);
    second();
    (await third)();
    (await fourth)();
    t.same(entered, ["third", "fourth"]);
    await Promise.all([gate.enter(), gate.enter()]);
  },
);
