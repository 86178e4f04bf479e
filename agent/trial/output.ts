/** A rejected flag, or a rejected feature gate in the --feature-gates flag. */
export type Refused =
  | { readonly kind: "flag"; readonly flag: string; readonly reason: string }
  | { readonly kind: "gate"; readonly flag: string; readonly gate: string; readonly reason: string };

/** The error messages that pflag (Kubernetes) and flag (etcd) print when they reject an argument. */
const forms: readonly { readonly pattern: RegExp; readonly read: (match: RegExpExecArray) => Refused }[] = [
  {
    pattern: /^(?:Error: )?unknown flag: --([\w.-]+)/,
    read: ([, flag = ""]) => ({ kind: "flag", flag, reason: "unknown flag" }),
  },
  {
    pattern: /^flag provided but not defined: -([\w.-]+)/,
    read: ([, flag = ""]) => ({ kind: "flag", flag, reason: "unknown flag" }),
  },
  {
    pattern:
      /^(?:Error: )?invalid argument ".*" for "(?:-\w, )?--([\w.-]+)" flag: unrecognized feature gate: ([\w.-]+)/,
    read: ([, flag = "", gate = ""]) => ({ kind: "gate", flag, gate, reason: "unknown feature gate" }),
  },
  {
    pattern:
      /^(?:Error: )?invalid argument ".*" for "(?:-\w, )?--([\w.-]+)" flag: cannot set feature gate ([\w.-]+) to (.*)/,
    read: ([, flag = "", gate = "", rest = ""]) => ({ kind: "gate", flag, gate, reason: `cannot be set to ${rest}` }),
  },
  {
    pattern: /^(?:Error: )?invalid argument ".*" for "(?:-\w, )?--([\w.-]+)" flag: (.*)/,
    read: ([, flag = "", reason = ""]) => ({ kind: "flag", flag, reason: `invalid value: ${reason}` }),
  },
  {
    pattern: /^invalid value ".*" for flag -([\w.-]+): (.*)/,
    read: ([, flag = "", reason = ""]) => ({ kind: "flag", flag, reason: `invalid value: ${reason}` }),
  },
];

/** Returns the argument that a program rejected; undefined if the output mentions no rejected argument. */
export function refusedArgument(lines: readonly string[]): Refused | undefined {
  for (const line of lines) {
    for (const { pattern, read } of forms) {
      const match = pattern.exec(line);
      if (match !== null) return read(match);
    }
  }
  return undefined;
}

/** Returns a program's messages about deprecated flags and feature gates, without klog prefixes or duplicates. */
export function deprecations(lines: readonly string[]): string[] {
  const warnings = lines
    .map((line) => line.replace(/^[IWE]\d{4} [\d:.]+ +\d+ [\w.]+:\d+\] /, ""))
    .filter((line) => /^Flag --[\w.-]+ has been deprecated|^Setting (?:GA|deprecated) feature gate/.test(line));
  return [...new Set(warnings)];
}
