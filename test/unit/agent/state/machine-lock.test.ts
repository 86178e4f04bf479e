import t from "tap";
import { createMachineLock } from "../../../../agent/state/machine-lock.ts";
import { createFakeClock } from "../../../fakes/os.ts";

function machineLock() {
  const ending = new AbortController();
  return { ending, own: createMachineLock({ clock: createFakeClock(0), signal: ending.signal }) };
}

function gate() {
  let open = (): void => {};
  const passed = new Promise<void>((resolve) => (open = resolve));
  return { open, passed };
}

t.test(
  "while an operation holds the lock, another operation is refused with the holder's name and start time",
  async (t) => {
    const { own } = machineLock();
    let frees = 0;
    own.whenFree(() => frees++);
    const work = gate();
    const held = own.lock("admin", async () => work.passed);
    t.match(own.holder(), { name: "admin", sinceUnixMillis: 0 });
    t.throws(() => own.lock("another", async () => {}), { code: "BUSY", message: /admin .* 1970/ });
    t.equal(frees, 0);
    work.open();
    await held;
    t.strictSame([own.holder(), frees], [undefined, 1]);
    t.equal(await own.lock("another", async () => 7), 7);
  },
);

t.test(
  "the agent's own tasks run one at a time, yield to an operation, and never start during an operation",
  async (t) => {
    const { own } = machineLock();
    const order: string[] = [];
    const begun = gate();
    const first = own.whenIdle(async (signal) => {
      order.push("first");
      begun.open();
      await new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason), { once: true }));
    });
    const second = own.whenIdle(async () => void order.push("second"));
    await begun.passed;
    await own.lock("admin", async () => void order.push("admin"));
    t.strictSame([await first, await second], [undefined, undefined]);
    t.strictSame(order, ["first", "admin"]);
    t.equal(await own.whenIdle(async () => 7), 7, "the agent's own tasks run again after the operation");
  },
);

t.test(
  "if one of the agent's own tasks fails, only the task's caller gets the error, and the next task still runs",
  async (t) => {
    const { own, ending } = machineLock();
    const failing = own.whenIdle(async () => Promise.reject(new Error("disk full")));
    const next = own.whenIdle(async () => 7);
    await t.rejects(failing, { message: "disk full" });
    t.equal(await next, 7);
    ending.abort();
    t.equal(await own.whenIdle(async () => 7), undefined);
  },
);
