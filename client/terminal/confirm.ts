import { createInterface } from "node:readline/promises";

/** Asks a question at the terminal. Every answer except y and yes counts as no, and so does Ctrl-C. */
export async function confirm(question: string, signal: AbortSignal): Promise<boolean> {
  return /^y(?:es)?$/i.test((await prompt(question, signal)) ?? "");
}

/** Asks for a line of text at the terminal. Returns undefined after Ctrl-C. */
export async function prompt(question: string, signal: AbortSignal): Promise<string | undefined> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return (await terminal.question(question, { signal })).trim();
  } catch (error) {
    if (signal.aborted) return undefined;
    throw error;
  } finally {
    terminal.close();
  }
}
