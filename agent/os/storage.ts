import { createHash } from "node:crypto";
import { type Backoff, backoffMillis } from "../../proto/backoff.ts";
import { codeOf } from "../../proto/errno.ts";
import { KhwError } from "../../proto/errors.ts";
import { show } from "../../proto/validate.ts";
import { exchange, type HttpAnswer, type HttpExchange, type HttpRequest } from "./exchange.ts";
import type { Clock } from "./clock.ts";
import type { LargeFiles } from "./large-files.ts";

export interface StorageOptions {
  /** The address of Cloud Storage, for example "https://storage.googleapis.com". */
  readonly baseUrl: string;
  readonly largeFiles: Pick<LargeFiles, "read">;
  readonly clock: Clock;
  /** Returns an access token; called once for each upload. */
  readonly token: (signal: AbortSignal) => Promise<string>;
}

export interface Upload {
  readonly bucket: string;
  readonly name: string;
  readonly file: string;
  readonly size: number;
  readonly signal: AbortSignal;
}

/** Uploads to Cloud Storage through its JSON API. */
export interface Storage {
  /**
   * Uploads a file in parts, resumes after interruptions, and verifies the object's size and MD5. Accepts an identical
   * object that already exists, and never replaces a different object.
   * @throws KhwError IO_FAILED with Cloud Storage's response
   */
  upload(upload: Upload): Promise<void>;
}

/** The size of a part, which must be a multiple of 256 KiB. */
const partBytes = 8 * 1024 * 1024;
/**
 * The maximum number of consecutive temporary failures. After more failures, the upload fails. The next scheduled
 * upload tries again.
 */
const maxFailures = 5;
const idleMillis = 60_000;
const backoff: Backoff = { firstMillis: 2_000, maxMillis: 32_000 };

export function createStorage(options: StorageOptions): Storage {
  const { baseUrl, largeFiles, clock, token } = options;
  const ask = async (
    url: string,
    request: Omit<HttpRequest & HttpExchange, "signal">,
    { bucket, name, signal }: Upload,
  ) => {
    try {
      return await exchange(new URL(url), { ...request, signal, idleMillis });
    } catch (error) {
      signal.throwIfAborted();
      throw uploadError(`gs://${bucket}/${name}`, codeOf(error) || String(error), true);
    }
  };

  const begin = async (upload: Upload, headers: Record<string, string>): Promise<string | undefined> => {
    const { bucket, name, size } = upload;
    const query = new URLSearchParams({ uploadType: "resumable", name, ifGenerationMatch: "0" });
    const url = `${baseUrl}/upload/storage/v1/b/${encodeURIComponent(bucket)}/o?${query.toString()}`;
    const answer = await ask(
      url,
      { method: "POST", headers: { ...headers, "x-upload-content-length": String(size), "content-length": "0" } },
      upload,
    );
    if (answer.status === 412) return undefined;
    const { location: session } = answer.headers;
    if (answer.status !== 200 || session === undefined) throw uploadRefused(upload, answer);
    if (isOfStorage(session, baseUrl)) return session;
    throw uploadError(
      `gs://${bucket}/${name}`,
      `Cloud Storage redirected the upload to ${show(hostOf(session))}`,
      false,
    );
  };
  /** Returns how many bytes have arrived; undefined once all bytes have arrived and the object exists. */
  const sendPart = async (session: string, from: number, upload: Upload): Promise<number | undefined> => {
    const to = Math.min(from + partBytes, upload.size);
    const range = `bytes ${from}-${to - 1}/${upload.size}`;
    const headers = { "content-range": range, "content-length": String(to - from) };
    const body = largeFiles.read(upload.file, { from, to });
    return progressOf(await ask(session, { method: "PUT", headers, body }, upload), upload);
  };
  const askProgress = async (session: string, upload: Upload): Promise<number | undefined> => {
    const headers = { "content-range": `bytes */${upload.size}`, "content-length": "0" };
    return progressOf(await ask(session, { method: "PUT", headers }, upload), upload);
  };
  const sendAll = async (session: string, upload: Upload): Promise<void> => {
    /** The number of consecutive failures without progress. */
    let failures = 0;
    let lost = false;
    for (let at: number | undefined = 0; at !== undefined;) {
      try {
        const now: number | undefined = lost ? await askProgress(session, upload) : await sendPart(session, at, upload);
        if (now === undefined || now > at) failures = 0;
        [at, lost] = [now, false];
      } catch (error) {
        if (!(error instanceof Passing) || ++failures > maxFailures) throw error;
        lost = true;
        await clock.delay(backoffMillis(failures, backoff), upload.signal);
      }
    }
  };

  return {
    upload: async (upload) => {
      const authorization = { authorization: `Bearer ${await token(upload.signal)}` };
      const session = await begin(upload, authorization);
      if (session !== undefined) await sendAll(session, upload);
      await compare(upload, authorization);
    },
  };

  async function compare(upload: Upload, headers: Record<string, string>): Promise<void> {
    const { bucket, name, file, size } = upload;
    const object = `${baseUrl}/storage/v1/b/${encodeURIComponent(bucket)}/o/${encodeURIComponent(name)}`;
    const answer = await ask(object, { method: "GET", headers }, upload);
    if (answer.status !== 200) throw uploadRefused(upload, answer);
    const { md5Hash, size: arrived }: { md5Hash?: unknown; size?: unknown } = JSON.parse(answer.body.toString());
    const sum = createHash("md5");
    for await (const chunk of largeFiles.read(file)) sum.update(chunk);
    if (md5Hash === sum.digest("base64") && Number(arrived) === size) return;
    throw uploadError(`gs://${bucket}/${name}`, "the object in the bucket differs from the uploaded file", false);
  }
}

/**
 * Whether an upload session's URL points to Cloud Storage itself, or to another Google host over TLS. No other host may
 * receive a snapshot, because a snapshot contains all Secrets.
 */
function isOfStorage(session: string, baseUrl: string): boolean {
  const [url, base] = [URL.parse(session), URL.parse(baseUrl)];
  if (url === null || base === null) return false;
  return url.origin === base.origin || (url.protocol === "https:" && url.hostname.endsWith(".googleapis.com"));
}

/**
 * Returns the host in a session's address. The rest of the address must not be shown, because it is a secret that
 * permits uploads.
 */
function hostOf(session: string): string {
  return URL.parse(session)?.host ?? "no URL";
}

/** A temporary failure. */
class Passing extends KhwError {}

/**
 * Whether the reason for a failed upload would make all other uploads fail too. This includes temporary failures.
 */
export function mayPass(error: unknown): boolean {
  return error instanceof Passing || !(error instanceof KhwError) || error.code !== "IO_FAILED";
}

function progressOf(answer: HttpAnswer, upload: Upload): number | undefined {
  const { status, headers } = answer;
  if (status === 200 || status === 201) return undefined;
  if (status !== 308) throw uploadRefused(upload, answer);
  const [, last] = /^bytes=0-(\d+)$/.exec(headers.range ?? "") ?? [];
  return last === undefined ? 0 : Number(last) + 1;
}

function uploadRefused({ bucket, name }: Upload, { status, body }: HttpAnswer): KhwError {
  const passing = status === 429 || status === 408 || status >= 500;
  return uploadError(
    `gs://${bucket}/${name}`,
    `Cloud Storage answered ${status} ${show(body.toString().trim())}`,
    passing,
  );
}

function uploadError(where: string, why: string, passing: boolean): KhwError {
  const hint =
    "allow the instance's service account to create and read objects in the bucket, and give it the scope devstorage.read_write";
  return new (passing ? Passing : KhwError)("IO_FAILED", `${where}: ${why}`, { hint });
}
