import type { Dispatcher } from "undici";
import { codeOf } from "../../../proto/errno.ts";
import { KhwError } from "../../../proto/errors.ts";
import { MirrorFailure } from "./mirror.ts";
import { amount, type Sink } from "./sink.ts";

export interface HttpOptions {
  readonly dispatcher: Dispatcher;
  readonly signal: AbortSignal;
  /** How long to wait for more data from the mirror. */
  readonly stallMillis: number;
}

/** A transfer that can be resumed after an interruption by calling `attempt` again. */
export interface HttpTransfer {
  /**
   * Downloads the rest of the file into the sink. If the transfer cannot be resumed, downloads the whole file again.
   * @throws MirrorFailure
   */
  attempt(): Promise<void>;
}

const maxRedirects = 5;

export function createHttpTransfer(url: URL, sink: Sink, options: HttpOptions): HttpTransfer {
  // Identifies the version of the file from which the received bytes come. Without a validator, the transfer cannot be
  // resumed.
  let validator: string | undefined;
  let total: number | undefined;

  const get = async (): Promise<void> => {
    const resumed = sink.received > 0 && validator !== undefined;
    if (!resumed) await sink.restart();
    const { statusCode, headers, body } = await follow(url, options, {
      ...(resumed && { range: `bytes=${sink.received}-`, "if-range": validator }),
    });
    const rest = statusCode === 206 && resumed;
    if (rest) {
      const from = /^bytes (\d+)-/.exec(headerText(headers["content-range"]))?.[1];
      if (Number(from) !== sink.received) {
        validator = undefined;
        throw new MirrorFailure("passing", `sent a different range than requested`);
      }
    } else {
      if (sink.received > 0) await sink.restart();
      if (statusCode !== 200) {
        await body.dump();
        throw statusFailure(statusCode);
      }
      validator = strongValidator(headers);
      const length = Number(headers["content-length"] ?? Number.NaN);
      total = Number.isSafeInteger(length) ? length : undefined;
      await sink.expect(total);
    }
    for await (const chunk of body) await sink.write(chunk);
    if (total !== undefined && sink.received !== total) {
      throw new MirrorFailure("passing", `ended after ${sink.received} of ${total} bytes`);
    }
  };

  return {
    attempt: async () => {
      try {
        await get();
      } catch (error) {
        options.signal.throwIfAborted();
        if (error instanceof MirrorFailure || error instanceof KhwError) throw error;
        const after = sink.received > 0 ? ` after ${amount(sink.received, total)}` : "";
        throw transferFailure(error, options.stallMillis, after);
      }
    },
  };
}

async function follow(
  url: URL,
  { dispatcher, signal, stallMillis }: HttpOptions,
  headers: Record<string, string | undefined>,
): Promise<Dispatcher.ResponseData> {
  const { request } = await import("undici");
  let at = url;
  for (let hop = 0; hop <= maxRedirects; hop++) {
    const answer = await request(at, {
      dispatcher,
      signal,
      headers,
      headersTimeout: stallMillis,
      bodyTimeout: stallMillis,
    });
    const location = headerText(answer.headers.location);
    if (answer.statusCode < 300 || answer.statusCode > 399 || location === "") return answer;
    await answer.body.dump();
    if (!URL.canParse(location, at.href)) throw new MirrorFailure("lasting", "redirects to an invalid URL");
    const next = new URL(location, at);
    if (next.protocol !== "https:" && (at.protocol === "https:" || next.protocol !== "http:")) {
      throw new MirrorFailure("lasting", `redirects to ${next.protocol}//${next.host}, which is not encrypted`);
    }
    at = next;
  }
  throw new MirrorFailure("lasting", `redirects more than ${maxRedirects} times`);
}

function headerText(header: string | string[] | undefined): string {
  return typeof header === "string" ? header : "";
}

/**
 * Returns a value for If-Range (RFC 9110, section 13.1.5): a strong ETag or, without a strong ETag, the date of the last
 * change.
 */
function strongValidator(headers: Dispatcher.ResponseData["headers"]): string | undefined {
  const etag = headerText(headers.etag);
  const date = headerText(headers["last-modified"]);
  return (etag.startsWith('"') ? etag : date) || undefined;
}

function statusFailure(status: number): MirrorFailure {
  const passing = status >= 500 || status === 429 || status === 408 || status === 416;
  return new MirrorFailure(passing ? "passing" : "lasting", `HTTP ${status}`);
}

function transferFailure(error: unknown, stallMillis: number, after: string): MirrorFailure {
  const code = codeOf(error);
  const message = error instanceof Error ? error.message : "";
  const because = { cause: error };
  switch (code) {
    case "UND_ERR_HEADERS_TIMEOUT":
    case "UND_ERR_BODY_TIMEOUT":
      return new MirrorFailure("passing", `no data for ${stallMillis / 1000} s${after}`, because);
    case "UND_ERR_CONNECT_TIMEOUT":
      return new MirrorFailure("passing", "no connection in time", because);
    case "UND_ERR_SOCKET":
    case "ECONNRESET":
      return new MirrorFailure("passing", `the connection was cut${after}`, because);
  }
  // Removes the advice for programmers that Node appends to the message after a semicolon.
  const [what = ""] = message.split(";");
  if (/^(CERT_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|ERR_TLS_CERT_)/.test(code)) {
    return new MirrorFailure("lasting", `its certificate is not trusted: ${what}`, because);
  }
  return new MirrorFailure("passing", what || code || "failed", because);
}
