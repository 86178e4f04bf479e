/** What a command may use of the process it runs in; the only way to its terminal. */
export interface Context {
  /** Standard output, as it is given (no line break is added). */
  readonly write: (text: string) => void;
  /** Standard error, as it is given. */
  readonly warn: (text: string) => void;
  /** Standard output is a terminal. */
  readonly terminal: boolean;
  /** The terminal's size, asked anew each time; absent where there is none. */
  readonly size?: () => { readonly rows: number; readonly columns: number };
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Aborted by the first Ctrl-C (or SIGTERM). */
  readonly signal: AbortSignal;
}
