import t from "tap";
import { isPassing, reconnecting } from "../../../../client/logs/reconnecting.ts";
import { KhwError } from "../../../../proto/errors.ts";

const broken = new KhwError("UNREACHABLE", "gone", { node: "controller-0" });

t.test("a broken stream is reopened, with back-off, until the signal is aborted", async (t) => {
  const ending = new AbortController();
  const waits: number[] = [];
  let opened = 0;
  async function* open(): AsyncGenerator<number> {
    opened += 1;
    if (opened === 3) yield 1;
    throw broken;
  }
  const lost = (error: KhwError, millis: number): void => {
    t.equal(error.message, "gone");
    waits.push(millis);
    if (waits.length === 3) ending.abort();
  };
  const all: number[] = [];
  for await (const n of reconnecting({ open, lost, passing: isPassing, signal: ending.signal })) all.push(n);
  t.same(all, [1]);
  const [first = 0, second = 0, third = 0] = waits;
  t.ok(first >= 375 && first <= 625, "the first pause is about half a second");
  t.ok(second >= 750 && second <= 1250, "the second pause is twice as long");
  t.ok(third >= 375 && third <= 625, "the pause is short again after a message");
});

t.test("a permanent error is thrown", async (t) => {
  const refused = new KhwError("PERMISSION_DENIED", "no");
  async function* open(): AsyncGenerator<number> {
    yield 1;
    throw refused;
  }
  const stream = reconnecting({ open, lost: () => t.fail(), passing: isPassing, signal: new AbortController().signal });
  await stream.next();
  await t.rejects(stream.next(), { code: "PERMISSION_DENIED" });
});

t.test("a stream whose first message does not arrive in time is abandoned", async (t) => {
  const ending = new AbortController();
  async function* open(signal: AbortSignal): AsyncGenerator<number> {
    await new Promise<void>((_, reject) => signal.addEventListener("abort", () => reject(broken)));
    yield 1;
  }
  const seen: KhwError[] = [];
  const lost = (error: KhwError): void => {
    seen.push(error);
    ending.abort();
  };
  const stream = reconnecting({ open, lost, passing: isPassing, firstMillis: 30, signal: ending.signal });
  t.same(await stream.next(), { value: undefined, done: true });
  t.match(seen, [{ code: "UNREACHABLE", node: "controller-0", message: "the agent did not answer within 0.03 s" }]);
});
