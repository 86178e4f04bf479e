import t from "tap";
import { openNewVersion } from "../../../../agent/reconcile/new-version.ts";
import { createFakeFiles, type FakeFiles } from "../../../fakes/files.ts";

const folder = "/var/lib/khw-agent";
const open = (files: FakeFiles, version: string) => openNewVersion({ files, folder, version, log: () => {} });

t.test(
  "a new agent version does not repair drift until a check has found none, even if the agent restarts",
  async (t) => {
    const files = createFakeFiles(() => 0);
    const first = await open(files, "0.1.0");
    t.equal(first.holdsBack(), false, "the first agent version on a machine repairs drift at once");
    await first.agrees();
    t.equal((await open(files, "0.1.0")).holdsBack(), false);
    const next = await open(files, "0.2.0");
    t.equal(next.holdsBack(), true);
    t.equal((await open(files, "0.2.0")).holdsBack(), true);
    t.equal(
      (await open(files, "0.1.0")).holdsBack(),
      false,
      "the previous agent version repairs drift at once when it is installed again",
    );
    await next.agrees();
    t.equal(next.holdsBack(), false);
    t.equal((await open(files, "0.2.0")).holdsBack(), false);
  },
);

t.test("if the version record cannot be written, the agent only logs the error", async (t) => {
  const files = createFakeFiles(() => 0);
  files.put(`${folder}/agreed-version`, "0.1.0\n");
  const lines: string[] = [];
  const write = () => Promise.reject(new Error("the disk is full"));
  const version = await openNewVersion({
    files: { ...files, write },
    folder,
    version: "0.2.0",
    log: (line) => lines.push(line),
  });
  await version.agrees();
  t.equal(version.holdsBack(), false);
  t.match(lines, [/changed from 0\.1\.0 to 0\.2\.0/, /cannot be written: the disk is full/]);
});
