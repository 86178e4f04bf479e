import { type Certificate, CertificateState, HistoryKind } from "../../proto/gen/khw/agent/v1/agent.ts";
import type { History } from "../history/history.ts";
import { utcDay } from "../../proto/time.ts";

/**
 * Returns a function that records when a certificate is replaced, or when its state becomes worse. Entries that an
 * earlier agent process wrote are not repeated.
 */
export function createCertificateReporter(history: History): (certificates: readonly Certificate[]) => Promise<void> {
  let known: ReadonlyMap<string, Certificate> | undefined;
  return async (certificates) => {
    const before = known;
    known = new Map(certificates.map((certificate) => [keyOf(certificate), certificate]));
    const told = before === undefined ? await toldBefore(history) : new Set<string>();
    for (const certificate of certificates) {
      const { path, subject, state, reason, expiresUnixMillis } = certificate;
      const was = before?.get(keyOf(certificate));
      const name = subject === "" ? path : `${subject} in ${path}`;
      const entry = { kind: HistoryKind.HISTORY_KIND_CERTIFICATE, subject: path };
      if (state > (was?.state ?? CertificateState.CERTIFICATE_STATE_OK)) {
        const message = `${name}: ${reason}`;
        if (!told.has(message)) history.append({ ...entry, message, problem: true });
      } else if (was !== undefined && was.expiresUnixMillis !== expiresUnixMillis) {
        const until = utcDay(new Date(expiresUnixMillis));
        history.append({ ...entry, message: `${name} was replaced by a certificate that expires on ${until}` });
      }
    }
  };
}

function keyOf({ path, subject }: Certificate): string {
  return `${path}\n${subject}`;
}

async function toldBefore(history: History): Promise<ReadonlySet<string>> {
  const told = new Set<string>();
  for (let afterId = 0; ;) {
    const page = await history.list({ afterId, sinceUnixMillis: 0 });
    for (const { kind, message } of page) if (kind === HistoryKind.HISTORY_KIND_CERTIFICATE) told.add(message);
    const last = page.at(-1);
    if (last === undefined) return told;
    afterId = last.id;
  }
}
