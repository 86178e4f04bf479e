import { appendFile, open, readFile } from "node:fs/promises";
import { join } from "node:path";
import { isErrno } from "../../../proto/errno.ts";
import { KhwError } from "../../../proto/errors.ts";

/** An event about an agent's name. Times are in ISO 8601. Serial numbers are in hex, as node:crypto writes them. */
type RegisterEntry =
  | { readonly event: "issued"; readonly at: string; readonly name: string; readonly serial: string }
  | {
      readonly event: "revoked";
      readonly at: string;
      readonly name: string;
      readonly serials: readonly string[];
      /** Whether the node was removed from its cluster. */
      readonly removed?: boolean;
    }
  | { readonly event: "readmitted"; readonly at: string; readonly name: string };

/** The management CA's record of the certificates that it has signed for agents, and of the revocations. */
export interface Register {
  /** The names for which the CA must not sign certificates. */
  readonly revokedNames: ReadonlySet<string>;
  /** The revoked names of nodes that were removed from their cluster. */
  readonly removedNames: ReadonlySet<string>;
  /** The serial numbers that clients reject permanently, even if the agent's name is readmitted. */
  readonly revokedSerials: ReadonlySet<string>;
  /** The serial numbers of all certificates that were signed for each name. */
  readonly issued: ReadonlyMap<string, readonly string[]>;
}

/**
 * The name of the register's file, in the folder of the CA's certificate. Every client needs a copy of the file, to
 * reject nodes that were revoked on another client.
 */
const fileName = "agents.jsonl";

/**
 * Reads the register in the folder of the management CA; an empty register if there is no file.
 * @throws KhwError CREDENTIAL_INVALID if any part of the register cannot be read, because khw must not miss a
 * revocation
 */
export async function readRegister(folder: string): Promise<Register> {
  const path = join(folder, fileName);
  const text = await readFile(path, "utf8").catch((cause: NodeJS.ErrnoException) => {
    if (isErrno(cause, "ENOENT")) return "";
    throw new KhwError("CREDENTIAL_INVALID", `${path}: ${cause.message}`, { cause });
  });
  const revokedNames = new Set<string>();
  const removedNames = new Set<string>();
  const revokedSerials = new Set<string>();
  const issued = new Map<string, readonly string[]>();
  for (const [index, line] of text.split("\n").entries()) {
    if (line === "") continue;
    const entry = parseEntry(line);
    if (entry === undefined) throw registerError(`${path}: line ${index + 1}`);
    switch (entry.event) {
      case "issued":
        issued.set(entry.name, [...(issued.get(entry.name) ?? []), entry.serial]);
        break;
      case "revoked":
        revokedNames.add(entry.name);
        if (entry.removed === true) removedNames.add(entry.name);
        for (const serial of entry.serials) revokedSerials.add(serial);
        break;
      case "readmitted":
        revokedNames.delete(entry.name);
        removedNames.delete(entry.name);
        break;
    }
  }
  return { revokedNames, removedNames, revokedSerials, issued };
}

/**
 * Adds an event to the register. When the promise resolves, the event is durable. Two processes may add events at the
 * same time.
 * @throws KhwError IO_FAILED
 */
export async function addToRegister(folder: string, entry: RegisterEntry): Promise<void> {
  const path = join(folder, fileName);
  try {
    await appendFile(path, `${JSON.stringify(entry)}\n`, { mode: 0o600, flush: true });
    await using handle = await open(folder);
    await handle.sync();
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new KhwError("IO_FAILED", `${path} cannot be written: ${reason}`, { cause });
  }
}

/** @throws KhwError PERMISSION_DENIED for a revoked name */
export function refuseRevoked({ revokedNames }: Register, name: string): void {
  if (!revokedNames.has(name)) return;
  throw new KhwError("PERMISSION_DENIED", `${name} was revoked and cannot get a certificate`, {
    hint: `to trust this machine again, run khw-client enrol --readmit --nodes ${name}`,
  });
}

function parseEntry(line: string): RegisterEntry | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return isEntry(value) ? value : undefined;
  } catch {
    // The line is not valid JSON. The caller reports the line as invalid.
    return undefined;
  }
}

function isEntry(value: unknown): value is RegisterEntry {
  if (typeof value !== "object" || value === null || !("event" in value)) return false;
  if (!("name" in value) || typeof value.name !== "string") return false;
  switch (value.event) {
    case "issued":
      return "serial" in value && typeof value.serial === "string";
    case "revoked":
      return (
        "serials" in value && Array.isArray(value.serials) && value.serials.every((one) => typeof one === "string")
      );
    default:
      return value.event === "readmitted";
  }
}

function registerError(where: string): KhwError {
  return new KhwError("CREDENTIAL_INVALID", `${where} is not a valid entry in the register of agents`, {
    hint: "correct the line, or restore the file from a copy; the file records which nodes are revoked",
  });
}
