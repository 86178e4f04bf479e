import { KhwError } from "../../proto/errors.ts";
import type { Step } from "../../proto/step.ts";
import { waitFor } from "../../proto/wait-for.ts";
import type { Body, Compute } from "./compute.ts";
import type { Reference } from "./references.ts";
import { refusedBecause } from "./refusal.ts";
import type { Kind, Resources } from "./resources.ts";

/** How long to wait for another client's operation that creates the same resource. */
const appearMillis = 30_000;

/** A field whose value differs from the desired value. */
export interface FieldDifference {
  readonly field: string;
  readonly found: string;
  readonly wanted: string;
}

export interface ResourceStep<K extends Kind> {
  readonly id: string;
  readonly title: string;
  readonly needs?: readonly string[];
  readonly reference: Reference<K>;
  /** Returns the request body for creating the resource. */
  body(compute: Compute, signal: AbortSignal): Promise<Body<K>>;
  /** Returns the differences that cannot be changed in place. */
  fixed?(found: Resources[K], compute: Compute, signal: AbortSignal): Promise<readonly FieldDifference[]>;
  /** Returns the differences that `repair` corrects. */
  repairable?(found: Resources[K]): readonly FieldDifference[];
  repair?(found: Resources[K], compute: Compute, signal: AbortSignal): Promise<void>;
}

/**
 * Returns a step for a resource of the Compute API. The step creates the resource if it does not exist, and repairs it
 * in place if Google allows that. For differences that require deleting and recreating the resource, `check` and
 * `apply` throw COMPUTE_DRIFT with each field, its current value and its desired value.
 */
export function resourceStep<K extends Kind>(wanted: ResourceStep<K>): Step<Compute> {
  const { id, title, needs = [], reference } = wanted;

  async function differences(
    found: Resources[K],
    compute: Compute,
    signal: AbortSignal,
  ): Promise<readonly FieldDifference[]> {
    const fixed = (await wanted.fixed?.(found, compute, signal)) ?? [];
    if (fixed.length > 0) throw unrepairable(reference, fixed);
    return wanted.repairable?.(found) ?? [];
  }

  /** Returns the existing resource; undefined if this call created it. */
  async function createUnlessThere(compute: Compute, signal: AbortSignal): Promise<Resources[K] | undefined> {
    try {
      await compute.insert(reference, await wanted.body(compute, signal), signal);
      return undefined;
    } catch (error) {
      // Another client, or an interrupted request from this client, is creating the resource. The resource appears when
      // that operation is done.
      if (!refusedBecause(error, "alreadyExists")) throw error;
      return await untilThere(compute, signal, error);
    }
  }

  async function untilThere(compute: Compute, signal: AbortSignal, refusal: unknown): Promise<Resources[K]> {
    return waitFor({
      what: `${reference.kind}/${reference.name} has not appeared`,
      check: async () => {
        const found = await compute.get(reference, signal);
        return found === undefined ? { seen: "does not exist" } : { reached: found };
      },
      deadlineMillis: appearMillis,
      intervalMillis: 250,
      signal,
      late: () => refusal,
    });
  }

  return {
    id,
    title,
    needs,
    async check(compute, signal) {
      const found = await compute.get(reference, signal);
      if (found === undefined) return { summary: "does not exist" };
      const differing = await differences(found, compute, signal);
      return differing.length === 0 ? null : { summary: describeDifferences(differing) };
    },
    async apply(compute, { signal }) {
      const found = (await compute.get(reference, signal)) ?? (await createUnlessThere(compute, signal));
      if (found === undefined) return;
      const differing = await differences(found, compute, signal);
      if (differing.length > 0) await wanted.repair?.(found, compute, signal);
    },
  };
}

/** Returns a difference if the values are not equal. */
export function compare(
  field: string,
  found: string | number | boolean,
  wanted: string | number | boolean,
): FieldDifference[] {
  return found === wanted ? [] : [{ field, found: shown(found), wanted: shown(wanted) }];
}

/** Compares lists whose order does not matter. */
export function compareSets(field: string, found: readonly string[], wanted: readonly string[]): FieldDifference[] {
  return compare(field, found.toSorted().join(", "), wanted.toSorted().join(", "));
}

function shown(value: string | number | boolean): string {
  return value === "" ? "empty" : String(value);
}

function describeDifferences(differing: readonly FieldDifference[]): string {
  return differing.map(({ field, found, wanted }) => `${field} is ${found}, not ${wanted}`).join("; ");
}

function unrepairable({ kind, name }: Reference, differing: readonly FieldDifference[]): KhwError {
  return new KhwError("COMPUTE_DRIFT", `${kind}/${name}: ${describeDifferences(differing)}`, {
    hint: "delete the resource if nothing else needs it (Google cannot change it in place), or configure a different name in khw.yaml",
  });
}
