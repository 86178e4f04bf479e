import { link, readFile, rm, writeFile } from "node:fs/promises";
import { isErrno } from "../../proto/errno.ts";
import { KhwError } from "../../proto/errors.ts";
import { waitFor } from "../../proto/wait-for.ts";
import { isAlive } from "../pki/staging.ts";

const patienceMillis = 10_000;
const intervalMillis = 20;

/**
 * Runs the work while no other client on this machine is working on the same file. Removes the lock of a client that
 * was killed.
 * @throws KhwError BUSY after ten seconds, IO_FAILED
 */
export async function whileHeld<T>(path: string, work: () => Promise<T>): Promise<T> {
  const name = `${path}.busy`;
  await take(name);
  try {
    return await work();
  } finally {
    await rm(name, { force: true });
  }
}

/** An interrupted command still finishes this write. */
const never = new AbortController().signal;

function take(name: string): Promise<void> {
  return waitFor<void>({
    what: `${name}: another khw-client is writing`,
    check: async () => {
      if (await tryTake(name)) return { reached: undefined };
      const holder = Number(await readFile(name, "utf8").catch(() => "0"));
      if (holder === 0 || isAlive(holder)) return { seen: `pid ${holder}` };
      await rm(name, { force: true });
      return (await tryTake(name)) ? { reached: undefined } : { seen: `after pid ${holder}, which has ended` };
    },
    deadlineMillis: patienceMillis,
    intervalMillis,
    signal: never,
    late: ({ seen }) =>
      new KhwError("BUSY", `${name}: another khw-client (${seen}) is writing this file`, {
        hint: "wait for the other command to end, then run the command again",
      }),
  });
}

/**
 * Creates the lock by linking a complete file, so that the lock contains the owner's process ID from the moment it
 * exists.
 */
async function tryTake(name: string): Promise<boolean> {
  const own = `${name}-${process.pid}-${Math.random().toString(36).slice(2)}`;
  try {
    await writeFile(own, String(process.pid), { flag: "wx", mode: 0o600 });
    await link(own, name);
    return true;
  } catch (cause) {
    if (isErrno(cause, "EEXIST")) return false;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new KhwError("IO_FAILED", `${name} cannot be written: ${reason}`, { cause });
  } finally {
    await rm(own, { force: true });
  }
}
