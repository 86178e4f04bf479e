import { constants } from "node:os";

/** The codes of waitid(2), with systemd's names. */
const codes: Readonly<Record<number, string>> = { 1: "exited", 2: "killed", 3: "dumped" };

const signalNames = new Map(
  Object.entries(constants.signals).map(([name, number]) => [number, name.slice("SIG".length)]),
);

/** The properties of a service that describe how it ended. */
export const endingProperties = ["MainPID", "Result", "ExecMainCode", "ExecMainStatus"];

/**
 * Describes how a service's last process ended, in the words of systemd's journal line. systemd drops that line if a
 * busy journal does not accept it within 10 ms. Returns no lines while a process runs, if no process has ended, or if
 * the last one succeeded.
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
