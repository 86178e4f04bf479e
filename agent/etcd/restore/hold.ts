import type { Writer } from "../../state/machine-lock.ts";

/** The machine, held from one call to another. */
export interface Hold {
  /** Resolves when what the agent did by itself has ended; at once where it is held so already. @throws KhwError BUSY. */
  take(holder: string): Promise<void>;
  /** No error when it is not held. */
  release(): void;
}

export function createHold(writer: Writer): Hold {
  let end: (() => void) | undefined;
  let taken: Promise<void> | undefined;
  return {
    take: (holder) => {
      taken ??= new Promise<void>((resolve, reject) => {
        const held = writer.hold(holder, () => {
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
