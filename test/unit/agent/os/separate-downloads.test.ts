import { readFileSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import type { RequestListener } from "node:http";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import t, { type Test } from "tap";
import { createChildProcessDownloads } from "../../../../agent/os/downloads/child-process.ts";
import { KhwError } from "../../../../proto/errors.ts";
import { begin, content, good, mirror, sha256, temporaryFolder } from "../../../fakes/mirror.ts";

const path = "v1.21.0/bin/linux/amd64/kubectl";

/** Returns the process IDs of this process's children. */
function children(): readonly number[] {
  const text = readFileSync(`/proc/${process.pid}/task/${process.pid}/children`, "utf8");
  return text.trim().split(" ").filter(Boolean).map(Number);
}

async function download(t: Test, answer: RequestListener, downloads = createChildProcessDownloads()) {
  const controller = new AbortController();
  const said: string[] = [];
  const to = join(await temporaryFolder(t), "kubectl");
  const { url } = await mirror(t, answer);
  const source = { mirrors: [url], path, proxy: "", caPem: "", signal: controller.signal };
  const outcome = downloads.file({ ...source, to, sha256, mostBytes: 1e9, progress: (text) => said.push(text) }).then(
    () => "done",
    (error: unknown) => error,
  );
  return { controller, downloads, outcome, said, source, to };
}

t.test("a single process downloads texts and files, and exits after the last download", async (t) => {
  const { downloads, outcome, said, source, to } = await download(t, good);
  const { url } = await mirror(t, (_request, response) => void response.end(`${sha256}\n`));
  t.match(await downloads.text({ ...source, mirrors: [url] }), { text: `${sha256}\n` });
  t.equal(await outcome, "done");
  t.equal(children().length, 1);
  t.ok((await readFile(to)).equals(content));
  t.match(said[0], /^[0-3] of 3 MB$/);
  for (let waited = 0; children().length > 0 && waited < 10_000; waited += 50) await delay(50);
  t.same(children(), []);
});

t.test("an error in the download process is reported unchanged", async (t) => {
  const { outcome, to } = await download(t, (_request, response) => void response.end("other bytes"));
  t.match(await outcome, { code: "DIGEST_MISMATCH", hint: /use another mirror/ });
  t.ok((await outcome) instanceof KhwError);
  t.same(await readdir(dirname(to)), []);
});

t.test("an aborted download fails with the reason for the abort and leaves no files behind", async (t) => {
  const reason = new KhwError("INTERRUPTED", "the agent was stopped");
  const { controller, outcome, to } = await download(t, (_request, response) => {
    begin(response, 1_000_000, () => controller.abort(reason));
  });
  t.equal(await outcome, reason);
  t.same(await readdir(dirname(to)), []);
});

t.test("a killed download process is reported as an error, and the next download starts a new process", async (t) => {
  const before = children();
  const { downloads, outcome, to } = await download(t, (_request, response) => {
    begin(response, 1_000_000, () => {
      const downloader = children().find((pid) => !before.includes(pid));
      if (downloader !== undefined) process.kill(downloader, "SIGKILL");
    });
  });
  t.match(await outcome, { code: "DOWNLOAD_FAILED", message: "the download process exited: SIGKILL" });
  t.same((await readdir(dirname(to))).length, 1, "the partial file remains until the next download removes it");
  t.equal(await (await download(t, good, downloads)).outcome, "done");
});
