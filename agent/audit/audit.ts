import { mapStrings, oneLine } from "../../proto/sanitize.ts";
import { formatError, toKhwError } from "../../proto/errors.ts";
import type { AuditEntry } from "../../proto/gen/khw/agent/v1/agent.ts";
import { show } from "../../proto/validate.ts";
import { type EventLog, openEventLog } from "../history/event-log.ts";
import type { Clock } from "../os/clock.ts";
import type { Files } from "../os/files.ts";
import { perMinute } from "./per-minute.ts";
import { decodeAuditEntries, encodeAuditEntry } from "./lines.ts";

/** Records who called which method, and with what result. The record survives restarts and reboots. */
export interface Audit {
  /** Records an accepted call that may change something. Each call gets an entry of its own. */
  accepted(call: AuditedCall): void;
  /**
   * Records a refused call, or a failed read-only call. The first call is written at once; identical calls within the
   * next minute share one entry.
   */
  refused(call: AuditedCall): void;
  /** Returns the entries, oldest first. */
  list(filter: { readonly sinceUnixMillis: number; readonly limit: number }): Promise<readonly AuditEntry[]>;
  /** Resolves when each entry has been written to disk, or could not be written. */
  close(): Promise<void>;
}

export type AuditedCall = Omit<AuditEntry, "id" | "timeUnixMillis" | "count">;

export interface AuditOptions {
  readonly files: Files;
  readonly clock: Clock;
  readonly folder: string;
  readonly log: (line: string) => void;
}

/**
 * The maximum size of each file; there are two files for each kind of call. Refused calls have separate files, so that
 * they cannot displace accepted calls.
 */
const maxBytes = { accepted: 512 * 1024, refused: 128 * 1024 };

export async function openAudit({ files, clock, folder, log }: AuditOptions): Promise<Audit> {
  const codec = { encode: encodeAuditEntry, decode: decodeAuditEntries };
  const shared = { files, folder, log, ...codec };
  // An unreadable audit file must not stop the agent; the journal contains the same entries.
  const open = (name: string, maxFileBytes: number): Promise<EventLog<AuditEntry> | undefined> =>
    openEventLog<AuditEntry>({ ...shared, name, maxFileBytes }).catch((error: unknown) => {
      log(
        `${folder}/${name} cannot be read, so audit entries go only to the journal: ${formatError(toKhwError(error))}`,
      );
      return undefined;
    });
  const accepted = await open("audit", maxBytes.accepted);
  const refused = await open("audit-refused", maxBytes.refused);
  const record = (to: EventLog<AuditEntry> | undefined, raw: AuditedCall, count: number): void => {
    // The caller chooses the fields of the request and the name in the certificate, so all strings are sanitized.
    const call = mapStrings(raw, oneLine);
    to?.append((id) => ({ ...call, id, timeUnixMillis: clock.now(), count }));
    log(`audit: ${auditLine({ ...call, count })}`);
  };
  const others: AuditedCall = { ...nobody, caller: "other callers", message: "too many to list" };
  const refusals = perMinute({ others, emit: (call, more) => record(refused, call, Math.max(1, more)) });
  return {
    accepted: (call) => record(accepted, call, 1),
    refused: (call) => refusals.add([call.serialNumber, call.method, call.result].join(" "), call),
    list: async ({ sinceUnixMillis, limit }) => {
      const entries = [...(await all(accepted, sinceUnixMillis)), ...(await all(refused, sinceUnixMillis))];
      const sorted = entries.toSorted((a, b) => a.timeUnixMillis - b.timeUnixMillis);
      return limit === 0 ? sorted : sorted.slice(-limit);
    },
    close: async () => {
      refusals.close();
      await Promise.all([accepted?.settled(), refused?.settled()]);
    },
  };
}

const nobody: AuditedCall = {
  caller: "",
  role: "",
  serialNumber: "",
  address: "",
  method: "",
  target: "",
  result: "",
  message: "",
  durationMillis: 0,
};

async function all(from: EventLog<AuditEntry> | undefined, sinceUnixMillis: number): Promise<readonly AuditEntry[]> {
  if (from === undefined) return [];
  const entries: AuditEntry[] = [];
  for (;;) {
    const page = await from.list({ afterId: entries.at(-1)?.id ?? 0, sinceUnixMillis });
    if (page.length === 0) return entries;
    entries.push(...page);
  }
}

function auditLine({
  caller,
  role,
  serialNumber,
  address,
  ...call
}: Omit<AuditEntry, "id" | "timeUnixMillis">): string {
  const who = `${show(caller)} (${role === "" ? "no role" : role}, certificate ${serialNumber}) from ${address}`;
  const what = [call.method, call.target === "" ? "" : show(call.target)].filter((part) => part !== "").join(" ");
  const result = [call.result, call.message].filter((part) => part !== "").join(": ");
  return `${who}: ${what}: ${result}${call.count > 1 ? ` (${call.count} more within a minute)` : ""}`;
}
