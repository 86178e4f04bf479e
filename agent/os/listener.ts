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
 * Finds the process that listens on each of these TCP ports, on any address. Ports without a listener are not in the
 * result. If several processes share a socket, the result names the one with the lowest PID.
 */
export async function findListeners(ports: readonly number[]): Promise<ReadonlyMap<number, ListeningProcess>> {
  const found = new Map<number, ListeningProcess>();
  let missing: readonly ListeningSocket[] = [];
  for (let search = 0; search < searches; search += 1) {
    missing = (await listeningSockets(ports)).filter(({ port }) => !found.has(port));
    if (missing.length === 0) return found;
    await findHolders(missing, found);
  }
  for (const { port } of missing) {
    if (!found.has(port)) found.set(port, { pid: 0, name: "a process that the agent cannot see" });
  }
  return found;
}

async function findHolders(sockets: readonly ListeningSocket[], found: Map<number, ListeningProcess>): Promise<void> {
  const ports = new Map(sockets.map(({ link, port }) => [link, port]));
  const pids = (await readdir("/proc")).filter((name) => /^[0-9]+$/.test(name)).map(Number);
  for (const pid of pids.toSorted((a, b) => a - b)) {
    const descriptors = (await whileItLives(() => readdir(`/proc/${pid}/fd`))) ?? [];
    for (const descriptor of descriptors) {
      const link = await whileItLives(() => readlink(`/proc/${pid}/fd/${descriptor}`));
      const port = link === undefined ? undefined : ports.get(link);
      if (port === undefined || found.has(port)) continue;
      const name = await whileItLives(() => readFile(`/proc/${pid}/comm`, "utf8"));
      if (name !== undefined) found.set(port, { pid, name: name.trim() });
      if (sockets.every((socket) => found.has(socket.port))) return;
    }
  }
}

/**
 * Returns how many connections are waiting to be accepted on a TCP port, on any address; undefined if no process is
 * listening.
 */
export async function waitingConnections(port: number): Promise<number | undefined> {
  const sockets = await listeningSockets([port]);
  return sockets.length === 0 ? undefined : sockets.reduce((sum, { waiting }) => sum + waiting, 0);
}

interface ListeningSocket {
  readonly port: number;
  /** The target of the socket's link in /proc/PID/fd, for example "socket:[4711]". */
  readonly link: string;
  readonly waiting: number;
}

/** Searches the kernel's tables for the sockets that are listening on these ports. */
async function listeningSockets(ports: readonly number[]): Promise<ListeningSocket[]> {
  const tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(async (path) => orAbsent(() => readFile(path, "utf8")));
  return (await Promise.all(tables))
    .flatMap((text = "") => text.split("\n").slice(1))
    .map((line) => line.trim().split(/\s+/))
    .filter((columns) => columns[3] === listening)
    .map((columns) => ({ columns, port: Number.parseInt(columns[1]?.split(":")[1] ?? "", 16) }))
    .filter(({ port }) => ports.includes(port))
    .map(({ columns, port }) => ({
      port,
      link: `socket:[${columns[9]}]`,
      // The column is "tx_queue:rx_queue". For a listening socket, rx_queue is the length of the accept queue, in hex.
      waiting: Number.parseInt(columns[4]?.split(":")[1] ?? "0", 16),
    }));
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
