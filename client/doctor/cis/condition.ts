import type { ByEdition } from "./edition.ts";

/** The programs whose flags are checked. */
export type CheckedProgram = "etcd" | "kube-apiserver" | "kube-controller-manager" | "kube-scheduler";

/** A requirement for a flag's value. Commas separate the items of a list. */
export type FlagRule =
  | { readonly is: string }
  | { readonly isNot: string }
  | { readonly has: string }
  | { readonly lacks: string }
  | { readonly atLeast: number }
  | { readonly onlyFrom: ByEdition<readonly string[]> }
  | "set"
  | "not set";

export interface FlagCondition {
  readonly kind: "flag";
  readonly program: CheckedProgram;
  readonly flag: string;
  readonly rule: FlagRule;
  /** Whether the check passes in an edition if the flag is not set. */
  readonly orNotSet?: ByEdition<boolean>;
  /**
   * Another flag, which specifies a file instead of this flag. If only that flag is set, a person must read the file.
   */
  readonly replacedBy?: string;
  /** The value to set if the rule alone does not determine a value. */
  readonly remedy?: string;
}

/** The files whose modes or owners are checked: individual paths, or the files below some folders. */
export type FileSet =
  | { readonly paths: readonly string[] }
  | { readonly below: readonly string[]; readonly which: "all" | "certificates" | "keys" };

/** The requirement that a check verifies. */
export type Condition =
  | FlagCondition
  | { readonly kind: "all" | "any"; readonly of: readonly FlagCondition[] }
  | { readonly kind: "mode"; readonly files: FileSet; readonly most: ByEdition<number> }
  | { readonly kind: "owner"; readonly files: FileSet; readonly is: string }
  | { readonly kind: "encryption"; readonly providers: readonly string[] }
  | { readonly kind: "scheduler-profiling" }
  | { readonly kind: "own-etcd-ca" }
  /** A person must decide; `about` says what to look at. */
  | { readonly kind: "manual"; readonly about: string };
