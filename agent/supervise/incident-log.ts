import { diagnose } from "../diagnose/diagnose.ts";
import type { KhwError } from "../../proto/errors.ts";
import { type Diagnosis, HistoryKind } from "../../proto/gen/khw/agent/v1/agent.ts";
import type { HistoryEntry, History } from "../history/history.ts";
import type { Os } from "../os/os.ts";
import type { UnitStatus } from "../os/systemd.ts";
import { isReported } from "./backoff.ts";
import { describeEnd } from "./crash.ts";
import { afterCrash, afterRecovery, noCrashes } from "./crash-log.ts";
import type { RestartReason } from "./restarter.ts";
import type { Watched } from "./unit-watch.ts";

/** Records a component's incidents and their causes in the history and in the log, and limits repeated entries. */
export interface IncidentLog {
  crashed(end: UnitStatus): void;
  well(): void;
  /** Reports why a running component does not work. The cause is undefined if it is not known. */
  degraded(degradedCause: Diagnosis | undefined): void;
  /** Records that the agent is about to restart the component. `count` is the number of consecutive restarts. */
  restarting(restartReason: RestartReason, count: number): void;
  /** Records a restart that somebody requested. */
  restarted(reason: string, error?: KhwError): void;
}

export interface IncidentLogOptions {
  readonly name: string;
  readonly unit: string;
  readonly os: Os;
  readonly history: History;
  readonly log: (line: string) => void;
  readonly tell: Watched["tell"];
}

/**
 * The minimum time between two diagnoses, even if the component crashes more often. The limit exists because a
 * diagnosis reads the journal.
 */
const diagnoseMillis = 3_000;

const { HISTORY_KIND_COMPONENT, HISTORY_KIND_RESTART } = HistoryKind;

export function createIncidentLog({ name, unit, os, history, log, tell }: IncidentLogOptions): IncidentLog {
  const { clock } = os;
  let series = noCrashes;
  let illness = noCrashes;
  let degradedCause: Diagnosis | undefined;
  let diagnosis: Diagnosis | undefined;
  let diagnosedAt = 0;
  /** The queue of reports. Reports are written in order, so that a later event does not overtake a slow diagnosis. */
  let telling: Promise<void> = Promise.resolve();

  const write = (entry: Omit<HistoryEntry, "subject">): void => {
    const { message, cause = "" } = entry;
    log(`${name}: ${message}${cause === "" ? "" : `: ${cause}`}`);
    history.append({ ...entry, subject: name });
  };
  const then = (work: () => void | Promise<void>): void => {
    telling = telling.then(work).catch((error: unknown) => log(`${name}: ${String(error)}`));
  };

  return {
    crashed: (end) => {
      const { series: after, report } = afterCrash(series, clock.monotonic());
      series = after;
      then(async () => {
        if (diagnosis === undefined || clock.monotonic() - diagnosedAt >= diagnoseMillis) {
          diagnosis = await diagnose(name, unit, os);
          diagnosedAt = clock.monotonic();
        }
        if (series.downSince !== 0) tell({ diagnosis });
        if (report.kind !== "crashed") return;
        const { cause, message } = diagnosis;
        const kind = HISTORY_KIND_COMPONENT;
        write({
          kind,
          message: `${describeEnd(end)}${times(report.count)}`,
          cause: `${cause}: ${message}`,
          problem: true,
        });
      });
    },
    well: () => {
      const { series: after, report } = afterRecovery(series, clock.monotonic());
      if (after === series) return;
      series = after;
      then(() => {
        diagnosis = undefined;
        tell({ diagnosis });
        if (report.kind !== "back") return;
        write({ kind: HISTORY_KIND_COMPONENT, message: `is healthy again after ${seconds(report.downMillis)}` });
      });
    },
    degraded: (found) => {
      if (found?.cause === degradedCause?.cause) return;
      const before = degradedCause;
      degradedCause = found;
      const now = clock.monotonic();
      const { series: after, report } =
        found === undefined
          ? afterRecovery(illness, now)
          : before === undefined
            ? afterCrash(illness, now)
            : { series: illness, report: { kind: "none" } as const };
      illness = after;
      then(() => {
        tell({ diagnosis: found ?? diagnosis });
        // Until the component recovers from a crash, only the crash is reported.
        if (series.downSince !== 0) return;
        const kind = HISTORY_KIND_COMPONENT;
        if (report.kind === "back") write({ kind, message: `is healthy again after ${seconds(report.downMillis)}` });
        if (report.kind !== "crashed" || found === undefined) return;
        const message = `is running, but degraded${times(report.count)}`;
        write({ kind, message, cause: `${found.cause}: ${found.message}`, problem: true });
      });
    },
    restarting: ({ kind, reason }, count) => {
      const told = isReported(count);
      if (series.downSince === 0) series = { ...series, downSince: clock.monotonic(), reported: told };
      if (!told) return;
      const message = `${kind === "hung" ? "restarted by the agent" : "started again by the agent"}${times(count)}`;
      then(() => write({ kind: HISTORY_KIND_RESTART, message, cause: reason, problem: true }));
    },
    restarted: (reason, error) => {
      const kind = HISTORY_KIND_RESTART;
      if (error === undefined) return then(() => write({ kind, message: "restarted", cause: reason }));
      then(() =>
        write({ kind, message: `restarted, but is not healthy: ${error.message}`, cause: reason, problem: true }),
      );
    },
  };
}

function times(count: number): string {
  return count === 1 ? "" : `, ${count} times in a row`;
}

function seconds(millis: number): string {
  return `${(millis / 1000).toFixed(1)} s`;
}
