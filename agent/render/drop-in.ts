/** The environment variable by which a running service tells the digest of all that it was started from. */
export const inputsVariable = "KHW_INPUTS";

/**
 * The text of a drop-in that hands a service the digest (SHA-256 in hex) of its inputs, has a start wait until the program
 * itself runs (with the lab's Type=simple, a start is done before the process carries its environment), and bounds a stop:
 * an API server that is watched takes 60 s to end by itself, in which it listens no more and serves nobody.
 */
export function renderInputsDropIn(digest: string): string {
  return `[Service]\nType=exec\nTimeoutStopSec=15\nEnvironment=${inputsVariable}=sha256:${digest}\n`;
}
