import { chmod, mkdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import t, { type Test } from "tap";
import { watchFolders } from "../../../../agent/os/watch.ts";

/** Watches folders below the test's own folder. `after` makes a change and waits until the listener is called again. */
function watching(t: Test, ...folders: readonly string[]) {
  const root = t.testdir();
  let told = 0;
  let tell = (): void => {};
  const stop = watchFolders(
    folders.map((folder) => join(root, folder)),
    () => {
      told++;
      tell();
    },
  );
  t.teardown(stop);
  const after = async (change: () => Promise<unknown>): Promise<void> => {
    const heard = new Promise<void>((resolve) => (tell = resolve));
    await change();
    await heard;
    // During this delay, the listener is called for any remaining parts of the change.
    await delay(150);
  };
  return { root, stop, after, told: () => told };
}

t.test("in every folder, the watcher reports removals and changes to content, modes and names", async (t) => {
  const { root, after } = watching(t, "a", "b");
  await after(() => Promise.all(["a", "b"].map((folder) => mkdir(join(root, folder)))));
  const file = join(root, "a/file");
  await after(() => writeFile(file, "one"));
  await after(() => writeFile(file, "two"));
  await after(() => chmod(file, 0o600));
  await after(() => rename(file, join(root, "b/file")));
  await after(() => rm(join(root, "b/file")));
});

t.test(
  "the watcher reports when a missing folder appears, disappears, and appears again with its parents",
  async (t) => {
    const { root, after } = watching(t, "x/y/z");
    const folder = join(root, "x/y/z");
    await after(() => mkdir(folder, { recursive: true }));
    for (let round = 0; round < 3; round++) {
      await after(() => writeFile(join(folder, "file"), "content"));
      await after(() => rm(join(root, "x"), { recursive: true }));
      await after(() => mkdir(folder, { recursive: true }));
    }
    await after(() => writeFile(join(folder, "file"), "content"));
    await after(() => rename(folder, join(root, "elsewhere")));
    await after(() => mkdir(folder));
    await after(() => writeFile(join(folder, "file"), "content"));
  },
);

t.test(
  "the watcher merges many simultaneous changes into a few reports, and reports nothing after it is stopped",
  async (t) => {
    const { root, after, told, stop } = watching(t, ".");
    await delay(200);
    const before = told();
    await after(async () => {
      for (let file = 0; file < 200; file++) await writeFile(join(root, `${file}`), "");
    });
    t.ok(told() - before < 100, `the changes are reported fewer than 100 times: ${told() - before}`);
    stop();
    const last = told();
    await writeFile(join(root, "after"), "");
    await delay(200);
    t.equal(told(), last);
  },
);
