/**
 * The program that downloads files for the agent. child-process.ts starts this program and sends it orders over Node's
 * IPC channel. The program exits when the agent closes the channel.
 */
import { toDetail, toKhwError } from "../../../proto/errors.ts";
import { guardPeerCertificates } from "../../../proto/peer-certificate.ts";
import { createClock } from "../clock.ts";
import { createDownloads } from "../downloads.ts";
import type { DownloadedText } from "../downloads.ts";
import type { Order, Report, Work } from "./messages.ts";

guardPeerCertificates();
const downloads = createDownloads({ clock: createClock() });
const running = new Map<number, AbortController>();

process.on("message", ({ id, ...order }: Order) => {
  switch (order.kind) {
    case "start":
      return void start(id, order.work);
    case "abort":
      return running.get(id)?.abort();
  }
});
process.on("disconnect", () => process.exit());

/** Runs a download. Never rejects: every failure is reported to the agent. */
async function start(id: number, work: Work): Promise<void> {
  const controller = new AbortController();
  running.set(id, controller);
  try {
    const found = await download(work, controller.signal, (progress) =>
      sendReport({ kind: "progress", id, text: progress }),
    );
    sendReport({ kind: "done", id, found });
  } catch (error) {
    sendReport({ kind: "failed", id, error: toDetail(toKhwError(error)) });
  } finally {
    running.delete(id);
  }
}

async function download(
  { file, ...source }: Work,
  signal: AbortSignal,
  progress: (text: string) => void,
): Promise<DownloadedText | undefined> {
  if (file === undefined) return downloads.text({ ...source, signal });
  await downloads.file({ ...source, ...file, signal, progress });
  return undefined;
}

function sendReport(report: Report): void {
  process.send?.(report);
}
