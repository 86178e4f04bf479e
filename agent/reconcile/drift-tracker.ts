import type { DesiredState } from "../../proto/desired.ts";
import { formatError, type KhwError, toDetail } from "../../proto/errors.ts";
import { type DriftedStep, DriftPolicy, type ErrorDetail, HistoryKind } from "../../proto/gen/khw/agent/v1/agent.ts";
import type { PlannedStep } from "../../proto/step.ts";
import type { StatusStore } from "../state/status-store.ts";
import type { HistoryEntry, History } from "../history/history.ts";
import type { Os } from "../os/os.ts";
import { appeared, type Attempts, dueAt, afterFailure, fresh, repaired, undoneAgain, vanished } from "./attempts.ts";
import type { Repaired } from "./repair.ts";

type Policy = DesiredState["driftPolicy"];

/**
 * Tracks the drift of each step: when the drift began, and which repairs were attempted. Publishes the drift to the
 * status store, and records it in the history.
 */
export interface DriftTracker {
  /**
   * Records the result of checking all steps. Returns the steps to repair now, and the steps that differ but whose
   * repair must wait.
   */
  checked(
    planned: readonly PlannedStep<Os>[],
    policy: Policy,
  ): { readonly due: readonly string[]; readonly waiting: ReadonlySet<string> };
  /** Records the results of repairs. Returns whether any repair was postponed. */
  repaired(results: readonly Repaired[], operationId: string): { readonly postponed: boolean };
  /** Records that the repair of these steps is postponed. The error gives the reason. */
  postponed(due: readonly string[], error: KhwError): void;
  /** Records that the drift check is paused. */
  paused(because: string, policy: Policy | undefined): void;
  /** Returns the time until the next repair is due; Infinity if no repair is scheduled. */
  nextDueMillis(): number;
}

/** A step that differs. */
interface Standing {
  readonly title: string;
  readonly drift: string;
  readonly error: ErrorDetail | undefined;
  /** The action that a person must take; undefined if the agent repairs the drift itself. */
  readonly remedy: string | undefined;
}

export interface DriftTrackerOptions {
  readonly statusStore: StatusStore;
  readonly history: History;
  readonly log: (line: string) => void;
  readonly now: () => number;
}

export function createDriftTracker({ statusStore, history, log, now }: DriftTrackerOptions): DriftTracker {
  const attempts = new Map<string, Attempts>();
  const standing = new Map<string, Standing>();
  /** The last message in the history about each step that differs, keyed by the step's ID. */
  const told = new Map<string, string>();
  let policy: Policy | undefined;
  let checkedUnixMillis = 0;

  const of = (id: string): Attempts => attempts.get(id) ?? fresh;
  const tell = (entry: HistoryEntry): void => {
    history.append(entry);
    log(`${entry.subject}: ${entry.message}${(entry.cause ?? "") === "" ? "" : `: ${entry.cause}`}`);
  };
  const tellDrift = (id: string, message: string, cause = ""): void => {
    if (told.get(id) === message) return;
    told.set(id, message);
    tell({ kind: HistoryKind.HISTORY_KIND_DRIFT, subject: id, message, cause, problem: true });
  };
  const post = (paused: string): void => {
    // While the check is paused, no differences are published, because the desired state may be different after the
    // pause.
    const known = paused === "" ? [...standing] : [];
    const steps = known.map(([id, found]): DriftedStep => {
      const attempt = of(id);
      const next = policy === "repair" && found.remedy === undefined ? dueAt(attempt) : 0;
      const repairs = attempt.repairs.length;
      return { id, ...found, sinceUnixMillis: attempt.since, repairs, nextRepairUnixMillis: next };
    });
    statusStore.publish({ drift: { policy: policyOnWire(policy), checkedUnixMillis, steps, paused } });
  };

  const finds = (id: string, found: Omit<Standing, "error">, error: KhwError | null): void => {
    const before = of(id);
    const after = appeared(before, now());
    attempts.set(id, after);
    const detail = error === null ? standing.get(id)?.error : toDetail(error);
    standing.set(id, { ...found, error: detail });
    if (policy === "report" || found.remedy !== undefined) {
      const byHand = found.remedy === undefined ? "" : `; khw does not repair this itself; remedy: ${found.remedy}`;
      return tellDrift(id, `${found.drift}${byHand}`);
    }
    if (before.since === 0 && undoneAgain(after)) {
      const next = new Date(dueAt(after)).toISOString();
      const often = `the step has been repaired ${after.repairs.length} times recently, and each repair was undone`;
      tellDrift(id, `${found.drift}; the next repair is due at ${next}`, often);
    }
  };
  /** Records that the step matches the desired state. */
  const holds = (id: string, byRepair: boolean): void => {
    if (standing.delete(id) && !byRepair) attempts.set(id, vanished(of(id)));
    if (!told.delete(id) || byRepair) return;
    tell({ kind: HistoryKind.HISTORY_KIND_DRIFT, subject: id, message: "is in the desired state again" });
  };

  const concludes = ({ step: { id, title }, result }: Repaired, cause: string): boolean => {
    switch (result.outcome) {
      case "unchanged":
        holds(id, false);
        return false;
      case "changed":
        attempts.set(id, repaired(of(id), now()));
        holds(id, true);
        tell({
          kind: HistoryKind.HISTORY_KIND_REPAIR,
          subject: id,
          message: `${result.drift.summary}: repaired`,
          cause,
        });
        return false;
      case "reported":
      case "skipped":
        return false;
      case "failed": {
        const { drift, error } = result;
        const { drift: known = `cannot be checked: ${error.message}` } = standing.get(id) ?? {};
        attempts.set(id, appeared(of(id), now()));
        standing.set(id, { title, drift: drift?.summary ?? known, error: toDetail(error), remedy: undefined });
        if (error.code === "BUSY") return true;
        attempts.set(id, afterFailure(of(id), now()));
        // Reports every attempt. The history stays short, because attempts become less frequent.
        told.delete(id);
        tellDrift(id, `${drift?.summary ?? known}: cannot be repaired`, formatError(error));
        return false;
      }
    }
  };

  return {
    checked: (planned, wanted) => {
      policy = wanted;
      checkedUnixMillis = now();
      const listed = new Set(planned.map(({ step }) => step.id));
      for (const id of standing.keys()) if (!listed.has(id)) standing.delete(id);
      for (const { step, drift, error } of planned) {
        if (drift === null && error === null) holds(step.id, false);
        else {
          const difference = drift?.summary ?? `cannot be checked: ${error?.message ?? ""}`;
          finds(step.id, { title: step.title, drift: difference, remedy: drift?.remedy }, error);
        }
      }
      post("");
      if (policy === "report") return { due: [], waiting: new Set() };
      const repairable = [...standing].flatMap(([id, { remedy }]) => (remedy === undefined ? [id] : []));
      const due = repairable.filter((id) => dueAt(of(id)) <= now());
      return { due, waiting: new Set(repairable.filter((id) => !due.includes(id))) };
    },
    repaired: (results, operationId) => {
      const cause = `it differed from the desired state of operation ${operationId}`;
      const postponed = results.map((result) => concludes(result, cause)).includes(true);
      post("");
      return { postponed };
    },
    postponed: (due, error) => {
      for (const id of due) {
        const found = standing.get(id);
        if (found !== undefined) standing.set(id, { ...found, error: toDetail(error) });
      }
      post("");
    },
    paused: (because, wanted) => {
      policy = wanted;
      post(because);
    },
    nextDueMillis: () => {
      if (policy !== "repair") return Infinity;
      const times = [...standing]
        .flatMap(([id, { remedy }]) => (remedy === undefined ? [dueAt(of(id))] : []))
        .filter((time) => time > now());
      return Math.min(Infinity, ...times) - now();
    },
  };
}

function policyOnWire(policy: Policy | undefined): DriftPolicy {
  switch (policy) {
    case undefined:
      return DriftPolicy.DRIFT_POLICY_UNSPECIFIED;
    case "repair":
      return DriftPolicy.DRIFT_POLICY_REPAIR;
    case "report":
      return DriftPolicy.DRIFT_POLICY_REPORT;
  }
}
