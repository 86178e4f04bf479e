import { KhwError } from "../../proto/errors.ts";

/** The largest clock difference that certificates, leases and tokens tolerate. */
export const largestClockDifference = 30_000;

/** How far a node's clock is ahead of this machine's clock, and the uncertainty of that figure, in milliseconds. */
export interface ClockReading {
  readonly name: string;
  readonly ahead: number;
  readonly uncertainty: number;
}

/** Makes a call whose response contains the time on the node's clock. */
export async function readClock<Answer extends { readonly clockUnixMillis: number }>(
  name: string,
  ask: () => Promise<Answer>,
): Promise<{ readonly answer: Answer; readonly clock: ClockReading }> {
  const start = Date.now();
  const answer = await ask();
  // The agent read its clock at some moment during the call. The middle of the call is the best estimate, and half of
  // the call's duration is the uncertainty.
  const [elapsed, middle] = [Date.now() - start, (start + Date.now()) / 2];
  return { answer, clock: { name, ahead: answer.clockUnixMillis - middle, uncertainty: elapsed / 2 } };
}

/**
 * Returns an error for each node whose clock differs from the reference clock. The reference is the first node whose
 * clock agrees with most nodes. If no clock agrees with most nodes, the reference is the first node. The workstation's
 * clock does not matter, because the workstation is not in the cluster.
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
        hint: "turn on time synchronization: timedatectl set-ntp true",
      }),
    ];
  });
}

function agree(one: ClockReading, other: ClockReading): boolean {
  return Math.abs(one.ahead - other.ahead) - one.uncertainty - other.uncertainty <= largestClockDifference;
}
