import type { Diagnosis } from "../../proto/gen/khw/agent/v1/agent.ts";
import { causes } from "./causes.ts";
import type { Cause, Evidence } from "./evidence.ts";
import { isRoutine, sinceDeliberateStop } from "./starts.ts";
import { isFatal } from "../os/fatal.ts";

const toldLines = 8;
const maxLineLength = 400;

/**
 * Diagnoses the newest start that reveals a known cause, because the current start may be only seconds old. Within that
 * start, the first matching row of the table counts, so that a consequence is not mistaken for the cause.
 */
export function match(evidence: Evidence): Diagnosis {
  const recent = sinceDeliberateStop(evidence.starts);
  // A cause from an older start does not explain a start that has its own fatal line.
  const givenUp = recent.findLastIndex((start) => start.some(isFatal));
  const starts = givenUp < 0 ? recent : recent.slice(givenUp);
  return known({ ...evidence, starts }, causes) ?? unknown({ ...evidence, starts });
}

/** Returns the diagnosis from the first row of a table that matches; undefined if no row matches. */
export function known(evidence: Evidence, table: readonly Cause[]): Diagnosis | undefined {
  for (const start of evidence.starts.toReversed()) {
    for (const cause of table) {
      const { components, when } = cause;
      if (components !== undefined && !components.includes(evidence.component)) continue;
      const fits = (line: string): boolean => cause.pattern.test(line);
      const line = cause.first === true ? start.find(fits) : start.findLast(fits);
      if (line === undefined || (when !== undefined && !when(evidence, start))) continue;
      const more = cause.shows;
      const lines = [more && start.findLast((each) => more.test(each)), line];
      return toDiagnosis(
        cause,
        lines.filter((each) => each !== undefined),
        evidence,
      );
    }
  }
  return undefined;
}

function toDiagnosis({ id, pattern, message, remedy }: Cause, lines: readonly string[], evidence: Evidence): Diagnosis {
  const values = { ...pattern.exec(lines.at(-1) ?? "")?.groups };
  const fill = (text: string): string =>
    text.replace(/\{(\w+)\}/g, (_, name: string) => values[name] ?? derived(name, values["file"], evidence));
  return { cause: id, message: fill(message), remedy: fill(remedy), lines: lines.map(truncate) };
}

/** Returns the value of a placeholder that is not a group of the pattern. */
function derived(name: string, file: string | undefined, evidence: Evidence): string {
  const { component, unit, flags, listener, etcd = [], etcdCertificate, kms, full, program } = evidence;
  switch (name) {
    case "component":
      return component;
    case "unit":
      return unit;
    case "listener":
      return listener ?? "a process that has exited in the meantime";
    case "flag":
      return (
        [...flags].find(([, value]) => value === file)?.map((part, index) => (index === 0 ? `--${part}` : ""))[0] ??
        "the component's configuration"
      );
    // etcd and the Kubernetes programs use different names for this flag.
    case "certificate_flag":
      return withFile(flags.has("cert-file") ? "cert-file" : "tls-cert-file", flags);
    case "key_flag":
      return withFile(flags.has("cert-file") ? "key-file" : "tls-private-key-file", flags);
    case "server":
      return (
        etcd
          .filter(({ status }) => status !== 200)
          .map(({ server }) => server)
          .join(", ") ||
        flags.get("etcd-servers") ||
        "etcd"
      );
    case "day":
      return etcdCertificate?.ended ?? "its last day";
    case "socket":
      return kms?.socket ?? "the socket in its encryption configuration";
    case "mount":
      return program?.noexec ?? "a file system";
    case "folder":
      return full ?? "the disk";
    case "config":
      return flags.get("config") ?? "the file set with --config";
    case "kubeconfig":
      return flags.get("kubeconfig") ?? "the kubeconfig";
    case "data":
      return flags.get("data-dir") ?? "etcd's data folder";
    default:
      // The placeholder refers to a flag, for example {tls_cert_file}. The result is the flag's value.
      return flags.get(name.replaceAll("_", "-")) ?? `the file set with --${name.replaceAll("_", "-")}`;
  }
}

function withFile(flag: string, flags: Evidence["flags"]): string {
  const file = flags.get(flag);
  return file === undefined ? `--${flag}` : `--${flag} (${file})`;
}

const complaint =
  /^E\d{4} |^\{"level":"error"|^[\d-]+ [\d:.]+ E \| |\[(?:emerg|alert|crit)\]|^(?:Error|error|failed)\b|: Failed (?:at|to) |code=(?:killed|dumped)/;

/**
 * Builds the diagnosis if no row matches. Shows the error lines of one start, preferably the newest start that has
 * ended. If no start has error lines, shows the last lines. Always includes the program's fatal line, even if many
 * lines follow it.
 */
function unknown({ component, starts }: Evidence): Diagnosis {
  const complains = (line: string): boolean => isFatal(line) || complaint.test(line);
  const said = starts.findLast((start) => start.some((line) => !isRoutine(line))) ?? [];
  const complaining = starts.filter((start) => start.some(complains));
  // The newest process may still be running; its error lines do not explain why the previous process exited.
  const lines = (complaining.findLast(hasEnded) ?? complaining.at(-1))?.filter(complains) ?? said;
  const fatal = lines.find(isFatal);
  const newest = lines.slice(-toldLines);
  const shown = fatal === undefined || newest.includes(fatal) ? newest : [fatal, ...newest.slice(1)];
  return {
    cause: unknownCause,
    message: `${component} exits by itself for an unknown reason`,
    remedy: "",
    lines: shown.map(truncate),
  };
}

export const unknownCause = "unknown";

/** Whether the lines of a start show that its process has exited. */
function hasEnded(start: readonly string[]): boolean {
  return start.some((line) => isFatal(line) || /: (?:Main process exited|Failed with result)/.test(line));
}

function truncate(line: string): string {
  return line.slice(0, maxLineLength);
}
