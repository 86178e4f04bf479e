import type { MachineLock } from "../../state/machine-lock.ts";

/** Holds the machine lock from one call to the next. */
export interface HeldMachine {
  /**
   * Resolves when the agent's automatic work has ended, or immediately if the lock is already held for a restore.
   * @throws KhwError BUSY
   */
  take(holder: string): Promise<void>;
  /** Does nothing if the lock is not held. */
  release(): void;
}

export function createHeldMachine(machineLock: MachineLock): HeldMachine {
  let end: (() => void) | undefined;
  let taken: Promise<void> | undefined;
  return {
    take: (holder) => {
      taken ??= new Promise<void>((resolve, reject) => {
        const held = machineLock.lock(holder, () => {
          resolve();
          return new Promise<void>((ended) => {
            end = ended;
          });
        });
        held.catch(reject);
      }).catch((error: unknown) => {
        taken = undefined;
        throw error;
      });
      return taken;
    },
    release: () => {
      end?.();
      [end, taken] = [undefined, undefined];
    },
  };
}
