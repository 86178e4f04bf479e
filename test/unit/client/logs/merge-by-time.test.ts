import { setTimeout } from "node:timers/promises";
import t from "tap";
import { mergeByTime } from "../../../../client/logs/merge-by-time.ts";

const options = { timeOf: (time: number) => time, patienceMillis: 5_000 };

async function* from(...times: number[]): AsyncGenerator<number> {
  yield* times;
}

async function collect(merged: AsyncIterable<number>): Promise<number[]> {
  const all: number[] = [];
  for await (const time of merged) all.push(time);
  return all;
}

t.test("log sources of different speeds are merged by time", async (t) => {
  async function* slow(): AsyncGenerator<number> {
    for (const time of [2, 5, 8]) {
      await setTimeout(5);
      yield time;
    }
  }
  t.same(await collect(mergeByTime([from(1, 4, 7), slow(), from(3, 6, 9)], options)), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
});

t.test("messages with equal times, an empty list of sources, and sources without messages are handled", async (t) => {
  t.same(await collect(mergeByTime([from(1, 1), from(1), from()], options)), [1, 1, 1]);
  t.same(await collect(mergeByTime([], options)), []);
});

t.test("a silent source delays the other sources only for a limited time", async (t) => {
  const { promise: asked, resolve: answer } = Promise.withResolvers<void>();
  async function* silent(): AsyncGenerator<number> {
    await asked;
    yield 1;
  }
  const merged = mergeByTime([silent(), from(2, 3)], { ...options, patienceMillis: 50 });
  t.equal((await merged.next()).value, 2);
  t.equal((await merged.next()).value, 3);
  answer();
  t.same(await collect(merged), [1], "a late message is printed after newer messages");
});

t.test("no source is read further than its next message", async (t) => {
  let read = 0;
  async function* endless(): AsyncGenerator<number> {
    for (;;) yield ++read;
  }
  const merged = mergeByTime([endless()], options);
  for (let index = 0; index < 10; index++) await merged.next();
  t.ok(read <= 11);
  await merged.return();
});

t.test("the sources are closed when the reader stops", async (t) => {
  let ended = false;
  async function* source(): AsyncGenerator<number> {
    try {
      for (let time = 1; ; time++) yield time;
    } finally {
      ended = true;
    }
  }
  for await (const time of mergeByTime([source()], options)) if (time === 3) break;
  await setTimeout(0);
  t.ok(ended);
});
