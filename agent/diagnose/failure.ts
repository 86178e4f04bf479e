import { KhwError } from "../../proto/errors.ts";
import type { Os } from "../os/os.ts";
import { diagnose } from "./diagnose.ts";
import { isFatal } from "../os/fatal.ts";
import { unknownCause } from "./match.ts";

export interface FailureOptions {
  readonly component: string;
  readonly unit: string;
  /** The text after the component's name, for example "does not stay up (exit-code)". */
  readonly what: string;
  readonly code: "NOT_READY" | "SERVICE_FAILED";
}

const journalLines = 8;

/**
 * Builds the error for a component that is not running. The message contains the cause and the lines that reveal it,
 * and the hint is the remedy. If the cause is unknown, the message contains the last lines of the journal. If the
 * program's fatal line is not among them, the message contains the error lines instead.
 */
export async function componentFailure(os: Os, { component, unit, what, code }: FailureOptions): Promise<KhwError> {
  const { cause, message, remedy, lines } = await diagnose(component, unit, os);
  if (cause !== unknownCause) {
    return new KhwError(code, `${component} ${what}; ${message} (${cause}):\n${indented(lines)}`, { hint: remedy });
  }
  const hint = `see \`journalctl -u ${unit}\` on the node`;
  const fatal = lines.find(isFatal);
  const journal = await os.systemd.journal(unit, journalLines);
  if (fatal !== undefined && !journal.includes(fatal)) {
    return new KhwError(code, `${component} ${what}; it gave up with:\n${indented(lines)}`, { hint });
  }
  const last = journal.length === 0 ? "its journal is empty" : `its journal ends with:\n${indented(journal)}`;
  return new KhwError(code, `${component} ${what}; ${last}`, { hint });
}

function indented(lines: readonly string[]): string {
  return lines.map((line) => `  ${line}`).join("\n");
}
