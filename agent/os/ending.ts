import { constants } from "node:os";

/** waitid(2)'s codes, as systemd names them. */
const codes: Readonly<Record<number, string>> = { 1: "exited", 2: "killed", 3: "dumped" };

const signalNames = new Map(
  Object.entries(constants.signals).map(([name, number]) => [number, name.slice("SIG".length)]),
);

/** The properties of a service that tell how it ended. */
export const endingProperties = ["MainPID", "Result", "ExecMainCode", "ExecMainStatus"];

/**
 * How a service's last process ended, from its properties, in the words in which systemd writes of it to the journal: it
 * waits no longer than 10 ms for a journal that is busy, and drops the line. Nothing while a process runs, nor where none has
 * ended or the last one ended well.
 */
export function describeEnding(unit: string, service: Readonly<Record<string, unknown>>): string[] {
  const { MainPID: pid, Result: result, ExecMainCode: code, ExecMainStatus: status } = service;
  if (pid !== 0 || typeof result !== "string" || result === "success") return [];
  const ended = codes[Number(code)];
  const name = ended === "exited" ? undefined : signalNames.get(Number(status));
  const how = `code=${ended}, status=${Number(status)}${name === undefined ? "" : `/${name}`}`;
  return [
    ...(ended === undefined ? [] : [`${unit}: Main process exited, ${how}`]),
    `${unit}: Failed with result '${result}'.`,
  ];
}
