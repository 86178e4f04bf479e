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

/**
 * The nodes whose clock differs from that of the first node that most nodes agree with (the first node, if there is no such
 * node). The workstation's clock does not matter, since it is not in the cluster.
 */
export function clockFindings(clocks: readonly ClockReading[]): KhwError[] {
  const usual =
    clocks.find((one) => clocks.filter((other) => agree(one, other)).length > clocks.length / 2) ?? clocks[0];
  if (usual === undefined) return [];
  return clocks.flatMap((clock) => {
    if (agree(usual, clock)) return [];
    const { name, ahead } = clock;
    const difference = ahead - usual.ahead;
    const seconds = Math.round(Math.abs(difference) / 1000);
    const message = `its clock is ${seconds} s ${difference > 0 ? "ahead of" : "behind"} that of ${usual.name}`;
    return [
      new KhwError("PREFLIGHT_FAILED", message, {
        node: name,
        step: "preflight",
        hint: "switch time synchronisation on: timedatectl set-ntp true",
      }),
    ];
  });
}

function agree(one: ClockReading, other: ClockReading): boolean {
  return Math.abs(one.ahead - other.ahead) - one.uncertainty - other.uncertainty <= largestClockDifference;
}
