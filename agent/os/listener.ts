import { readdir, readFile, readlink } from "node:fs/promises";
import { orAbsent } from "./io.ts";
import { isErrno } from "../../proto/errno.ts";

/** A process with a listening socket. */
export interface ListeningProcess {
  readonly pid: number;
  readonly name: string;
}

const listening = "0A";

/** The number of searches if no process has the socket, for example because the process has just exited. */
const searches = 3;

/**
 * Finds the process that is listening on a TCP port, on any address. If several processes share the socket, returns the
 * one with the lowest PID.
 */
export async function findListener(port: number): Promise<ListeningProcess | undefined> {
  for (let search = 0; search < searches; search += 1) {
    const sockets = new Set((await listeningSockets(port)).map(({ link }) => link));
    if (sockets.size === 0) return undefined;
    const holder = await findHolder(sockets);
    if (holder !== undefined) return holder;
  }
  return { pid: 0, name: "a process that the agent cannot see" };
}

async function findHolder(sockets: ReadonlySet<string>): Promise<ListeningProcess | undefined> {
  const pids = (await readdir("/proc")).filter((name) => /^[0-9]+$/.test(name)).map(Number);
  for (const pid of pids.toSorted((a, b) => a - b)) {
    if (await holdsOneOf(pid, sockets)) {
      const name = await whileItLives(() => readFile(`/proc/${pid}/comm`, "utf8"));
      if (name !== undefined) return { pid, name: name.trim() };
    }
  }
  return undefined;
}

/**
 * Returns how many connections are waiting to be accepted on a TCP port, on any address; undefined if no process is
 * listening.
 */
export async function waitingConnections(port: number): Promise<number | undefined> {
  const sockets = await listeningSockets(port);
  return sockets.length === 0 ? undefined : sockets.reduce((sum, { waiting }) => sum + waiting, 0);
}

interface ListeningSocket {
  /** The target of the socket's link in /proc/PID/fd, for example "socket:[4711]". */
  readonly link: string;
  readonly waiting: number;
}

/** Searches the kernel's tables for the sockets that are listening on the port. */
async function listeningSockets(port: number): Promise<ListeningSocket[]> {
  const tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(async (path) => orAbsent(() => readFile(path, "utf8")));
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  return (await Promise.all(tables))
    .flatMap((text = "") => text.split("\n").slice(1))
    .map((line) => line.trim().split(/\s+/))
    .filter(([, local, , state]) => local?.endsWith(suffix) === true && state === listening)
    .map((columns) => ({
      link: `socket:[${columns[9]}]`,
      // The column is "tx_queue:rx_queue". For a listening socket, rx_queue is the length of the accept queue, in hex.
      waiting: Number.parseInt(columns[4]?.split(":")[1] ?? "0", 16),
    }));
}

async function holdsOneOf(pid: number, sockets: ReadonlySet<string>): Promise<boolean> {
  const folder = `/proc/${pid}/fd`;
  const descriptors = (await whileItLives(() => readdir(folder))) ?? [];
  for (const descriptor of descriptors) {
    const target = await whileItLives(() => readlink(`${folder}/${descriptor}`));
    if (target !== undefined && sockets.has(target)) return true;
  }
  return false;
}

/** Returns undefined if the process or its file descriptor disappears during the read. */
async function whileItLives<T>(look: () => Promise<T>): Promise<T | undefined> {
  try {
    return await look();
  } catch (error) {
    if (isErrno(error, "ENOENT", "ESRCH", "EACCES")) return undefined;
    throw error;
  }
}
