import t from "tap";
import { createWriter } from "../../../../agent/state/machine-lock.ts";
import { createFakeClock } from "../../../fakes/os.ts";

function writer() {
  const ending = new AbortController();
  return { ending, own: createWriter({ clock: createFakeClock(0), signal: ending.signal }) };
}

function gate() {
  let open = (): void => {};
  const passed = new Promise<void>((resolve) => (open = resolve));
  return { open, passed };
}

t.test("one holds the machine; another is told who does, and since when", async (t) => {
  const { own } = writer();
  let frees = 0;
  own.whenFree(() => frees++);
  const work = gate();
  const held = own.hold("admin", async () => work.passed);
  t.match(own.holder(), { name: "admin", sinceUnixMillis: 0 });
  t.throws(() => own.hold("another", async () => {}), { code: "BUSY", message: /admin .* 1970/ });
  t.equal(frees, 0);
  work.open();
  await held;
  t.strictSame([own.holder(), frees], [undefined, 1]);
  t.equal(await own.hold("another", async () => 7), 7);
});

t.test("the agent's own work is one after the other, gives way, and is not begun while another holds", async (t) => {
  const { own } = writer();
  const order: string[] = [];
  const begun = gate();
  const first = own.yielding(async (signal) => {
    order.push("first");
    begun.open();
    await new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason), { once: true }));
  });
  const second = own.yielding(async () => void order.push("second"));
  await begun.passed;
  await own.hold("admin", async () => void order.push("admin"));
  t.strictSame([await first, await second], [undefined, undefined]);
  t.strictSame(order, ["first", "admin"]);
  t.equal(await own.yielding(async () => 7), 7, "afterwards it goes on");
});

t.test("its own failure is the caller's, and none of the next one's", async (t) => {
  const { own, ending } = writer();
  const failing = own.yielding(async () => Promise.reject(new Error("disk full")));
  const next = own.yielding(async () => 7);
  await t.rejects(failing, { message: "disk full" });
  t.equal(await next, 7);
  ending.abort();
  t.equal(await own.yielding(async () => 7), undefined);
});
