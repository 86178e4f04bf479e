import { readdir } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import t from "tap";
import { roundTrip, writes } from "../../../../agent/os/time-writes.ts";
import { listening } from "../../../fakes/mirror.ts";

const signal = AbortSignal.timeout(30_000);

t.test("the write test times the given number of writes and leaves no files behind", async (t) => {
  const folder = t.testdir({});
  const times = await writes(join(folder, "not/yet"), { count: 20, signal });
  t.equal(times.length, 20);
  t.ok(times.every((millis) => millis > 0 && millis < 30_000));
  t.strictSame(await readdir(folder), []);
});

t.test("the round-trip time is measured whether the connection is accepted or refused", async (t) => {
  const server = createServer();
  const port = await listening(t, server);
  const to = { port, timeoutMillis: 5_000, signal };
  t.type(await roundTrip("127.0.0.1", to), "number");
  await new Promise((resolve) => server.close(resolve));
  t.type(await roundTrip("127.0.0.1", to), "number");
});

t.test("an aborted round trip rejects with the reason of the abort", async (t) => {
  const ended = AbortSignal.abort(new Error("enough"));
  await t.rejects(roundTrip("127.0.0.1", { port: 9, timeoutMillis: 5_000, signal: ended }), { message: "enough" });
});
