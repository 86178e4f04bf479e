import { X509Certificate } from "node:crypto";
import { managementCaAttribute } from "../../proto/enrolment.ts";
import { formatError, toKhwError } from "../../proto/errors.ts";
import { deadline } from "../os/deadline.ts";
import { type MetadataOptions, readValue, metadataUnavailable } from "../os/metadata-http.ts";

export interface SourceOptions extends Pick<MetadataOptions, "clock" | "signal"> {
  readonly baseUrl: string;
}

/** The maximum size of the instance's metadata. Google allows at most 512 KB of custom metadata per instance. */
const mostBytes = 1_048_576;
/** How long, in seconds, the server may hold a request open while it waits for the next change. */
const holdSeconds = 60;
const againMillis = 30_000;
const tokenMillis = 20_000;

/**
 * Reads the instance's identity token for the audience. Google signs the token.
 * @throws KhwError METADATA_UNAVAILABLE
 */
export async function readIdentityToken(audience: string, options: SourceOptions): Promise<string> {
  const seen = new Map<string, string>();
  using limit = deadline(options.signal, tokenMillis, () =>
    metadataUnavailable(`no identity token within ${tokenMillis / 1000} s; last: ${[...seen.values()].join("; ")}`),
  );
  const path = `instance/service-accounts/default/identity?audience=${encodeURIComponent(audience)}&format=full`;
  const token = await readValue(path, { ...options, seen, signal: limit.signal, maxBytes: 16_384 });
  if (token !== undefined) return token.text.trim();
  throw metadataUnavailable("it returns no identity token: the instance has no service account");
}

export interface CaWatchOptions extends SourceOptions {
  /** Called with the CA's certificate (PEM) from the metadata, and again whenever the certificate changes. */
  readonly found: (ca: string) => void;
  readonly log: (line: string) => void;
}

/**
 * Watches the instance's metadata for the management CA's certificate and for later changes to it, until the signal
 * aborts.
 */
export async function watchManagementCa({ found, log, ...options }: CaWatchOptions): Promise<void> {
  const { clock, signal } = options;
  let etag: string | undefined;
  let known: string | undefined;
  while (!signal.aborted) {
    try {
      const wait = etag === undefined ? "" : `&wait_for_change=true&timeout_sec=${holdSeconds}&last_etag=${etag}`;
      const attributes = await readValue(`instance/attributes/?recursive=true&alt=json${wait}`, {
        ...options,
        seen: new Map(),
        maxBytes: mostBytes,
        attemptMillis: (holdSeconds + 10) * 1000,
      });
      etag = attributes?.etag || undefined;
      const ca = attributes === undefined ? undefined : certificateIn(attributes.text);
      if (ca !== undefined && ca !== known) found((known = ca));
      // Without an ETag, the agent cannot wait for the next change, so it asks again after a pause.
      if (etag === undefined) await clock.delay(againMillis, signal);
    } catch (error) {
      if (signal.aborted) return;
      log(formatError(toKhwError(error)));
      etag = undefined;
      await clock.delay(againMillis, signal).catch(() => {});
    }
  }
}

/** @throws KhwError METADATA_UNAVAILABLE if the value is not a certificate */
function certificateIn(json: string): string | undefined {
  const attributes: unknown = JSON.parse(json);
  const pem =
    typeof attributes === "object" && attributes !== null
      ? new Map(Object.entries(attributes)).get(managementCaAttribute)
      : undefined;
  if (pem === undefined) return undefined;
  try {
    return new X509Certificate(String(pem)).toString();
  } catch (cause) {
    throw metadataUnavailable(`instance/attributes/${managementCaAttribute} is not a certificate`, cause);
  }
}
