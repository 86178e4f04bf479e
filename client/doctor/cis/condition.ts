import type { ByEdition } from "./edition.ts";

/** The programs whose flags are checked. */
export type CheckedProgram = "etcd" | "kube-apiserver" | "kube-controller-manager" | "kube-scheduler";

/** A demand on a flag's value. Lists are separated by commas. */
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
  /** The editions in which a flag that is not set passes. */
  readonly orNotSet?: ByEdition<boolean>;
  /** The flag that names a file in place of this flag. A person must then read the file. */
  readonly replacedBy?: string;
  /** The value to set, if the rule does not determine the value. */
  readonly remedy?: string;
}

/** The files whose modes or owners are checked: single paths, or the files of folders. */
export type FileSet =
  | { readonly paths: readonly string[] }
  | { readonly below: readonly string[]; readonly which: "all" | "certificates" | "keys" };

/** The demand of a check. */
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
