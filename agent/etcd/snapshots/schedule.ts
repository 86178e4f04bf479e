import { type Backoff, backoffMillis } from "../../../proto/backoff.ts";
import { formatError, toKhwError } from "../../../proto/errors.ts";
import type { SnapshotPolicy } from "../../../proto/etcd-snapshots.ts";
import { type Snapshot, SnapshotOrigin, type SnapshotRun } from "../../../proto/gen/khw/agent/v1/etcd.ts";
import { coalesce } from "../../os/coalesce.ts";
import type { Clock } from "../../os/clock.ts";
import { mayPass } from "../../os/storage.ts";
import type { Snapshots } from "./snapshots.ts";

/** Takes snapshots on a schedule. */
export interface Schedule {
  /** Takes a snapshot if one is due. Called at regular intervals. Never rejects. */
  readonly beat: () => Promise<void>;
  /** Returns the result of the last scheduled snapshot. */
  readonly lastRun: () => SnapshotRun | undefined;
  /**
   * Called after a snapshot has been taken. Uploads new snapshots if the policy requires it, and deletes surplus old
   * snapshots. Never rejects.
   */
  readonly taken: () => Promise<void>;
}

export interface ScheduleOptions {
  readonly clock: Clock;
  readonly snapshots: Pick<Snapshots, "list" | "save" | "prune" | "noteUpload">;
  /** Returns the snapshot policy; undefined if no snapshots are scheduled. */
  readonly policy: () => SnapshotPolicy | undefined;
  /**
   * Returns this controller's position in the list of controllers. The position determines when the controller takes
   * its snapshots.
   */
  readonly place: () => { readonly index: number; readonly count: number };
  /** Whether the schedule is paused, for example during a restore of etcd. */
  readonly paused: () => boolean;
  /** Uploads a snapshot and returns its URL. */
  readonly upload: (snapshot: Snapshot, bucket: string) => Promise<string>;
  readonly told: (message: string, cause?: string) => void;
  readonly signal: AbortSignal;
}

const retryBackoff: Backoff = { firstMillis: 60_000, maxMillis: 30 * 60_000 };
/** The number of snapshots of each kind to keep if the policy sets no number. */
const defaultKeep = 24;

/**
 * Creates the schedule. Each controller takes its own snapshots, at its own point in the interval. Snapshots are
 * therefore spread evenly over the interval and over the disks, without any coordination between the controllers. The
 * time of the next snapshot is derived from the existing snapshots, so a restart of the agent does not delay that
 * snapshot.
 */
export function createSchedule(options: ScheduleOptions): Schedule {
  const { clock, snapshots, policy, paused, upload, told, signal } = options;
  let lastRun: SnapshotRun | undefined;
  let failures = 0;
  let notBefore = 0;
  let last: number | undefined;

  /**
   * Uploads all snapshots that are not in the bucket yet, including those that could not be uploaded earlier. Returns
   * the reason for the first failure; empty if every upload succeeded.
   */
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
    told(`snapshot ${first.id} was not uploaded to gs://${bucket}${more}`, first.problem);
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
      told(`snapshot ${id} was taken and verified: ${keys} keys at revision ${revision}`);
      [last, failures] = [takenUnixMillis, 0];
      lastRun = { timeUnixMillis, problem: await taken() };
    } catch (error) {
      if (signal.aborted) return;
      const problem = formatError(toKhwError(error));
      notBefore = clock.now() + backoffMillis(++failures, retryBackoff);
      lastRun = { timeUnixMillis, problem };
      told("the scheduled snapshot was not taken", problem);
    }
  };
  /** Returns when the last scheduled snapshot was taken, by this agent process or an earlier one. */
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
      told("the snapshots cannot be read", formatError(toKhwError(error)));
    }
  });

  return {
    beat,
    lastRun: () => lastRun,
    taken: async () => void (await taken()),
  };
}

/**
 * Whether a new snapshot has become due since this controller's last snapshot. The controllers' turns are evenly spread
 * over the interval.
 */
export function isDue(
  last: number,
  now: number,
  { intervalMillis, index, count }: { readonly intervalMillis: number; readonly index: number; readonly count: number },
): boolean {
  const offset = (intervalMillis * Math.max(0, index)) / Math.max(1, count);
  const turn = (time: number): number => Math.floor((time - offset) / intervalMillis);
  return turn(last) < turn(now);
}
