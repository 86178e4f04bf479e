import { formatError, toKhwError } from "../../../proto/errors.ts";
import type { SnapshotPolicy } from "../../../proto/etcd-snapshots.ts";
import { type Snapshot, SnapshotOrigin, type SnapshotRun } from "../../../proto/gen/khw/agent/v1/etcd.ts";
import { coalesce } from "../../os/coalesce.ts";
import type { Clock } from "../../os/os.ts";
import { mayPass } from "../../os/storage.ts";
import type { Snapshots } from "./snapshots.ts";

/** Snapshots that nobody asks for. */
export interface Schedule {
  /** Takes one where one is due; to be called every so often. Never rejects. */
  readonly beat: () => Promise<void>;
  /** How the last one went. */
  readonly lastRun: () => SnapshotRun | undefined;
  /** What becomes of one that was taken: it is uploaded where that is wanted, and the oldest ones go. Never rejects. */
  readonly taken: () => Promise<void>;
}

export interface ScheduleOptions {
  readonly clock: Clock;
  readonly snapshots: Pick<Snapshots, "list" | "save" | "prune" | "noteUpload">;
  /** Undefined: nothing is scheduled. */
  readonly policy: () => SnapshotPolicy | undefined;
  /** This controller's place among them, by which they take turns. */
  readonly place: () => { readonly index: number; readonly count: number };
  /** Nothing is taken now: for example, etcd is being restored. */
  readonly paused: () => boolean;
  /** Answers where it is. */
  readonly upload: (snapshot: Snapshot, bucket: string) => Promise<string>;
  readonly told: (message: string, cause?: string) => void;
  readonly signal: AbortSignal;
}

const firstRetryMillis = 60_000;
const maxRetryMillis = 30 * 60_000;
/** Of those that somebody asked for or brought here, where no policy says otherwise. */
const defaultKeep = 24;

/**
 * Each controller takes its own, at its own part of the interval: so one is taken every interval / controllers, on each disk
 * there are some, and nobody has to find out who is responsible. One that is due is found by those that are there, not by a
 * timer that a restart of the agent would begin anew.
 */
export function createSchedule(options: ScheduleOptions): Schedule {
  const { clock, snapshots, policy, paused, upload, told, signal } = options;
  let lastRun: SnapshotRun | undefined;
  let failures = 0;
  let notBefore = 0;
  let last: number | undefined;

  /** What is not in the bucket yet is uploaded, also what an earlier attempt failed for. Why not; empty when all is there. */
  const uploadAll = async (bucket: string): Promise<string> => {
    const own = (await snapshots.list()).filter(({ origin }) => origin !== SnapshotOrigin.SNAPSHOT_ORIGIN_COPIED);
    const failed: { readonly id: string; readonly problem: string }[] = [];
    for (const snapshot of own.filter(({ uploaded }) => uploaded === "")) {
      try {
        await snapshots.noteUpload(snapshot.id, await upload(snapshot, bucket));
      } catch (error) {
        failed.push({ id: snapshot.id, problem: formatError(toKhwError(error)) });
        if (mayPass(error)) break;
      }
    }
    const [first, ...others] = failed;
    if (first === undefined) return "";
    const more = others.length === 0 ? "" : `, nor ${others.map(({ id }) => id).join(", ")}`;
    told(`snapshot ${first.id} is here, and was not uploaded to gs://${bucket}${more}`, first.problem);
    return first.problem;
  };
  const taken = async (): Promise<string> => {
    const { bucket = "", keep = defaultKeep } = policy() ?? {};
    try {
      const problem = bucket === "" ? "" : await uploadAll(bucket);
      await snapshots.prune(keep);
      return problem;
    } catch (error) {
      const problem = formatError(toKhwError(error));
      told("old snapshots could not be removed", problem);
      return problem;
    }
  };
  const take = async (): Promise<void> => {
    const timeUnixMillis = clock.now();
    try {
      const { id, keys, revision, takenUnixMillis } = await snapshots.save(
        SnapshotOrigin.SNAPSHOT_ORIGIN_SCHEDULED,
        signal,
      );
      told(`snapshot ${id} was taken and proved: ${keys} keys at revision ${revision}`);
      [last, failures] = [takenUnixMillis, 0];
      lastRun = { timeUnixMillis, problem: await taken() };
    } catch (error) {
      if (signal.aborted) return;
      const problem = formatError(toKhwError(error));
      notBefore = clock.now() + Math.min(firstRetryMillis * 2 ** failures++, maxRetryMillis);
      lastRun = { timeUnixMillis, problem };
      told("the scheduled snapshot was not taken", problem);
    }
  };
  /** When the last scheduled one was taken, by this agent or an earlier one. */
  const lastTaken = async (): Promise<number> => {
    const scheduled = (await snapshots.list()).filter(
      ({ origin }) => origin === SnapshotOrigin.SNAPSHOT_ORIGIN_SCHEDULED,
    );
    return scheduled.at(-1)?.takenUnixMillis ?? 0;
  };
  const beat = coalesce(async () => {
    const { intervalMillis = 0 } = policy() ?? {};
    if (intervalMillis === 0 || paused() || clock.now() < notBefore) return;
    try {
      last ??= await lastTaken();
      if (isDue(last, clock.now(), { intervalMillis, ...options.place() })) await take();
    } catch (error) {
      told("the snapshots cannot be looked at", formatError(toKhwError(error)));
    }
  });

  return {
    beat,
    lastRun: () => lastRun,
    taken: async () => void (await taken()),
  };
}

/** Whether a turn of this controller has begun since the last one was taken. */
export function isDue(
  last: number,
  now: number,
  { intervalMillis, index, count }: { readonly intervalMillis: number; readonly index: number; readonly count: number },
): boolean {
  const offset = (intervalMillis * Math.max(0, index)) / Math.max(1, count);
  const turn = (time: number): number => Math.floor((time - offset) / intervalMillis);
  return turn(last) < turn(now);
}
