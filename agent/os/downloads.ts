import type { Dispatcher } from "undici";
import { type Backoff, backoffMillis } from "../../proto/backoff.ts";
import { KhwError } from "../../proto/errors.ts";
import { createDispatcher } from "./downloads/dispatcher.ts";
import { type Bounds, openFileSink } from "./downloads/file-sink.ts";
import { createHttpTransfer, type HttpTransfer } from "./downloads/http.ts";
import { copyLocal } from "./downloads/local.ts";
import { locate, MirrorFailure, showMirror } from "./downloads/mirror.ts";
import type { Sink } from "./downloads/sink.ts";
import { createTextSink } from "./downloads/text-sink.ts";
import type { Clock } from "./clock.ts";

export interface DownloadRequest {
  /** Base URLs (https, http, file) or absolute folders, in order of preference. */
  readonly mirrors: readonly string[];
  /** The path of the file relative to a mirror, for example "v1.21.0/bin/linux/amd64/kubectl". */
  readonly path: string;
  readonly proxy: string;
  readonly caPem: string;
  readonly signal: AbortSignal;
}

export interface DownloadedText {
  readonly text: string;
  /** The URL of the mirror that delivered the file, without the user name and password. */
  readonly mirror: string;
}

export interface Downloads {
  /**
   * Downloads a small text file (at most 4 KiB) from the first mirror that delivers it.
   * @throws KhwError DOWNLOAD_FAILED with each mirror's response
   */
  text(request: DownloadRequest): Promise<DownloadedText>;
  /**
   * Downloads a file to `to` (mode 0755), completely or not at all, and verifies its SHA-256. Resumes interrupted
   * transfers with Range requests. Retries after temporary failures, and finally tries the next mirror.
   * @throws KhwError DOWNLOAD_FAILED or DIGEST_MISMATCH
   */
  file(
    request: DownloadRequest & {
      readonly to: string;
      readonly sha256: string;
      /** The maximum size of the file, whether or not the mirror announces the length. */
      readonly mostBytes: number;
      readonly progress: (text: string) => void;
    },
  ): Promise<void>;
}

export interface DownloadsOptions {
  readonly clock: Clock;
  /** How long to wait for more data from a mirror. */
  readonly stallMillis?: number;
  /** The maximum number of consecutive failures of a mirror without any new data. */
  readonly attempts?: number;
  /** The disk space that must stay free. */
  readonly bounds?: Bounds;
}

const connectMillis = 10_000;
/** The time without new data from a mirror, including all retries, after which khw tries the next mirror. */
const patienceMillis = 30_000;
const backoff: Backoff = { firstMillis: 500, maxMillis: 8000 };

/** Downloads files from mirrors over HTTP, or copies them from folders on this machine. */
export function createDownloads(options: DownloadsOptions): Downloads {
  return {
    text: (request) =>
      fromMirrors(request, options, async (fill) => {
        const sink = createTextSink();
        const mirror = await fill(sink);
        return { text: sink.text(), mirror };
      }),
    file: ({ to, sha256, mostBytes, progress, ...request }) =>
      fromMirrors(request, options, async (fill) => {
        await using sink = await openFileSink(to, { progress, mostBytes, bounds: options.bounds });
        await fill(sink);
        const digest = sink.digest();
        if (digest !== sha256) throw new MirrorFailure("wrong bytes", `SHA-256 is ${digest}, not ${sha256}`);
        await sink.finish(0o755);
      }),
  };
}

/** Fills the sink from a mirror. Resolves with the mirror's URL in the form that messages show. */
type Fill = (sink: Sink) => Promise<string>;

/** Calls `take` for one mirror after another, until a mirror delivers the file. */
async function fromMirrors<T>(
  request: DownloadRequest,
  options: DownloadsOptions,
  take: (fill: Fill) => Promise<T>,
): Promise<T> {
  const { path, mirrors, proxy, caPem } = request;
  let dispatcher: Promise<Dispatcher> | undefined;
  const http = (): Promise<Dispatcher> => (dispatcher ??= createDispatcher({ proxy, caPem, connectMillis }));
  const failures: { readonly mirror: string; readonly failure: MirrorFailure }[] = [];
  try {
    for (const mirror of mirrors) {
      try {
        return await take(async (sink) => {
          await fill(sink, mirror, { ...options, request, http });
          return showMirror(mirror);
        });
      } catch (error) {
        if (!(error instanceof MirrorFailure)) throw error;
        failures.push({ mirror, failure: error });
      }
    }
  } finally {
    await (await dispatcher)?.destroy();
  }
  const said = failures.map(({ mirror, failure }) => `${showMirror(mirror)}: ${failure.message}`).join("; ");
  if (failures.some(({ failure }) => failure.kind === "wrong bytes")) {
    throw new KhwError("DIGEST_MISMATCH", `${path}: ${said}`, {
      hint: "use another mirror, or correct the digest in khw.yaml or khw.lock; if neither contains a digest, khw uses its built-in list or the mirror's digest. The downloaded file was discarded",
    });
  }
  throw new KhwError("DOWNLOAD_FAILED", `${path}: ${said}`, {
    hint: "check that this version exists, that the node can reach the mirrors, and that the mirrors and the proxy in khw.yaml are correct",
  });
}

interface FillOptions extends DownloadsOptions {
  readonly request: DownloadRequest;
  readonly http: () => Promise<Dispatcher>;
}

async function fill(sink: Sink, mirror: string, options: FillOptions): Promise<void> {
  const { clock, stallMillis = 15_000, attempts = 5, request, http } = options;
  const { signal, path } = request;
  signal.throwIfAborted();
  const location = locate(mirror, path);
  switch (location.kind) {
    case "local":
      return copyLocal(location.path, sink, signal);
    case "http": {
      const transfer = createHttpTransfer(location.url, sink, { dispatcher: await http(), signal, stallMillis });
      return persist(transfer, sink, { clock, signal, attempts });
    }
  }
}

interface PersistOptions {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly attempts: number;
}

/**
 * Retries after temporary failures. Gives up after `attempts` consecutive failures without new data. Also gives up
 * after `patienceMillis` without new data, because a silent mirror makes each attempt slow.
 */
async function persist(transfer: HttpTransfer, sink: Sink, { clock, signal, attempts }: PersistOptions): Promise<void> {
  let furthest = 0;
  let since = clock.now();
  for (let failed = 1; ; failed++) {
    try {
      return await transfer.attempt();
    } catch (error) {
      if (!(error instanceof MirrorFailure) || error.kind !== "passing") throw error;
      if (sink.received > furthest) {
        failed = 1;
        since = clock.now();
      }
      furthest = Math.max(furthest, sink.received);
      if (failed >= attempts || clock.now() - since >= patienceMillis)
        throw new MirrorFailure("lasting", `${error.message} (tried ${failed} times)`, { cause: error });
      await clock.delay(backoffMillis(failed, backoff), signal);
    }
  }
}
