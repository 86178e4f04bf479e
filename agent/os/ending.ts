import { constants } from "node:os";

/** systemd's names for the codes with which waitid(2) describes an exit. */
const codes: Readonly<Record<number, string>> = { 1: "exited", 2: "killed", 3: "dumped" };

const signalNames = new Map(
  Object.entries(constants.signals).map(([name, number]) => [number, name.slice("SIG".length)]),
);

/** The properties of a service that describe how its process exited. */
export const endingProperties = ["MainPID", "Result", "ExecMainCode", "ExecMainStatus"];

/**
 * Describes how a service's last process exited, in the wording of systemd's journal lines. These lines are lost if a
 * busy journal does not accept them within 10 ms. Returns no lines while a process is running, if no process has exited
 * yet, or if the last process succeeded.
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
