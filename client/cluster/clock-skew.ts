import { KhwError } from "../../proto/errors.ts";

/** Certificates, leases and tokens need clocks that agree to within this. */
export const largestClockDifference = 30_000;

/** How far a node's clock is ahead of this machine's, and how far that may be wrong; milliseconds. */
export interface ClockReading {
  readonly name: string;
  readonly ahead: number;
  readonly uncertainty: number;
}

/** Asks a node for something that tells its clock too. */
export async function readClock<Answer extends { readonly clockUnixMillis: number }>(
  name: string,
  ask: () => Promise<Answer>,
): Promise<{ readonly answer: Answer; readonly clock: ClockReading }> {
  const start = Date.now();
  const answer = await ask();
  // The agent read its clock at some instant of the call; the middle is the best guess, half the call its error.
  const [elapsed, middle] = [Date.now() - start, (start + Date.now()) / 2];
  return { answer, clock: { name, ahead: answer.clockUnixMillis - middle, uncertainty: elapsed / 2 } };
}

/** The nodes whose clock is another than the first one's; the workstation's does not matter, since it is not in the cluster. */
export function clockFindings(clocks: readonly ClockReading[]): KhwError[] {
  const [first, ...others] = clocks;
  if (first === undefined) return [];
  return others.flatMap(({ name, ahead, uncertainty }) => {
    const difference = ahead - first.ahead;
    if (Math.abs(difference) - uncertainty - first.uncertainty <= largestClockDifference) return [];
    const seconds = Math.round(Math.abs(difference) / 1000);
    const message = `its clock is ${seconds} s ${difference > 0 ? "ahead of" : "behind"} that of ${first.name}`;
    return [
      new KhwError("PREFLIGHT_FAILED", message, {
        node: name,
        step: "preflight",
        hint: "switch time synchronisation on: timedatectl set-ntp true",
      }),
    ];
  });
}
