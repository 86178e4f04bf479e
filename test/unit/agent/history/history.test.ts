import { appendFile, mkdtemp, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t, { type Test } from "tap";
import { type History, openHistory } from "../../../../agent/history/history.ts";
import { createFiles } from "../../../../agent/os/files.ts";
import type { Files } from "../../../../agent/os/files.ts";
import { KhwError } from "../../../../proto/errors.ts";
import { type HistoryEvent, HistoryKind } from "../../../../proto/gen/khw/agent/v1/agent.ts";
import { createFakeClock } from "../../../fakes/os.ts";

const clock = createFakeClock();
const entry = (message: string) => ({ kind: HistoryKind.HISTORY_KIND_REPAIR, subject: "unit/nginx", message });

async function open(t: Test, changes: Partial<Files> = {}) {
  const folder = join(await mkdtemp(join(tmpdir(), "khw-history-test-")), "state");
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const lines: string[] = [];
  const again = () =>
    openHistory({ files: { ...createFiles(), ...changes }, clock, folder, log: (line) => lines.push(line) });
  return { history: await again(), again, lines, path: `${folder}/history`, older: `${folder}/history.1` };
}

async function all(history: History): Promise<HistoryEvent[]> {
  const events: HistoryEvent[] = [];
  for (;;) {
    const page = await history.list({ sinceUnixMillis: 0, afterId: events.at(-1)?.id ?? 0 });
    if (page.length === 0) return events;
    events.push(...page);
  }
}

t.test("events keep their order across an agent restart, and event IDs continue from the last one", async (t) => {
  const { history, again, path } = await open(t);
  t.strictSame(await all(history), []);
  for (let number = 1; number <= 300; number++) history.append(entry(`${number}`));
  await history.settled();
  t.equal((await stat(path)).mode & 0o777, 0o600);
  const later = await again();
  t.equal(later.newest(), 300);
  later.append({ ...entry("301"), cause: 'a "cause" / of two lines', problem: true });
  const events = await all(later);
  t.strictSame(
    events.map(({ id, message }) => `${id} ${message}`),
    Array.from({ length: 301 }, (_, index) => `${index + 1} ${index + 1}`),
  );
  t.match(events.at(-1), { cause: 'a "cause" / of two lines', problem: true, subject: "unit/nginx" });
});

t.test("if a power loss truncates a record, only that record is lost", async (t) => {
  const { history, again, path } = await open(t);
  for (const message of ["1", "2", "3"]) history.append(entry(message));
  await history.settled();
  await truncate(path, (await stat(path)).size - 20);
  const later = await again();
  later.append(entry("after"));
  t.strictSame(
    (await all(later)).map(({ message }) => message),
    ["1", "2", "after"],
  );
  await appendFile(path, '{"id":"x"}\nnull\n\0\0\0\n');
  t.equal((await all(await again())).length, 3, "a line that is not an event is skipped");
});

t.test("the history's size on disk is limited, and the oldest events are deleted first", async (t) => {
  const { history, again, path, older } = await open(t);
  const text = "x".repeat(3_000);
  for (let number = 1; number <= 1_000; number++) {
    history.append(entry(`${number} ${text}`));
    if (number % 50 === 0) await history.settled();
  }
  await history.settled();
  const sizes = await Promise.all([path, older].map(async (file) => (await stat(file)).size));
  t.ok(Math.max(...sizes) <= 512 * 1024, `each history file is at most 512 KiB long: ${sizes.join(" and ")} bytes`);
  const later = await again();
  const ids = (await all(later)).map(({ id }) => id);
  t.equal(ids.at(-1), 1_000);
  t.strictSame(
    ids,
    ids.map((_, index) => (ids[0] ?? 0) + index),
    "the remaining events have consecutive IDs",
  );
  later.append(entry("x".repeat(1_000_000)));
  t.ok(((await all(later)).at(-1)?.message.length ?? 0) < 5_000, "a large event is truncated");
});

t.test("a failing disk is reported only once and does not block the history", async (t) => {
  let full = true;
  const files = createFiles();
  const { history, lines, path } = await open(t, {
    append: async (...given) => {
      if (full) throw new KhwError("IO_FAILED", "the disk is full");
      await files.append(...given);
    },
  });
  const heard: string[] = [];
  const stop = history.listen(({ message }) => heard.push(message));
  for (const message of ["1", "2"]) {
    history.append(entry(message));
    await history.settled();
  }
  t.match(lines, [/^\/\S+\/history cannot be written: the disk is full$/]);
  full = false;
  history.append(entry("3"));
  stop();
  history.append(entry("4"));
  t.strictSame(heard, ["1", "2", "3"]);
  t.strictSame(
    (await all(history)).map(({ id, message }) => `${id} ${message}`),
    ["3 3", "4 4"],
  );
  t.equal((await readFile(path, "utf8")).trim().split("\n").length, 2);
});

t.test("a corrupt history file does not prevent recording new events", async (t) => {
  const { history, again, path } = await open(t);
  history.append(entry("1"));
  await history.settled();
  await writeFile(path, Buffer.alloc(10_000, 0xff));
  const later = await again();
  later.append(entry("new"));
  t.match(await all(later), [{ id: 1, message: "new" }]);
});
