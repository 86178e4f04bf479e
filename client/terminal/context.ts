/** The parts of the process that a command may use, including its only access to the terminal. */
export interface Context {
  /** Writes to standard output, without adding a line break. */
  readonly write: (text: string) => void;
  /** Writes to standard error, without adding a line break. */
  readonly warn: (text: string) => void;
  /** Whether standard output is a terminal. */
  readonly terminal: boolean;
  /** Returns the terminal's current size; absent if there is no terminal. */
  readonly size?: () => { readonly rows: number; readonly columns: number };
  /** Asks for confirmation on the terminal; absent if no user can answer. */
  readonly confirm?: (question: string) => Promise<boolean>;
  /** Asks for a line of text on the terminal; absent if no user can answer. Returns undefined after Ctrl-C. */
  readonly prompt?: (question: string) => Promise<string | undefined>;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Aborted by the first Ctrl-C (or SIGTERM). */
  readonly signal: AbortSignal;
}
