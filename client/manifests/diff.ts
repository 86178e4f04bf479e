import { type KhwError, toKhwError } from "../../proto/errors.ts";
import { oneLine } from "../../proto/sanitize.ts";
import type { ClusterConfig } from "../config/schema.ts";
import { readAdmin } from "../kubeconfig/admin.ts";
import { findPublicAddressOf } from "../rollout/addresses.ts";
import { openPublicApi } from "../verify/verification.ts";
import type { FieldDifference } from "./differences.ts";
import { describeObject, type Manifest, type ObjectName } from "./object.ts";
import { type Review, reviewManifests } from "./review.ts";

/** An object that differs, as the JSON output shows it. */
export interface ManifestRow extends ObjectName {
  readonly action: "create" | "change" | "delete" | "keep" | "forget";
  /** The object's file, line and column; absent if the object is no longer in the folder. */
  readonly place?: string;
  readonly fields: readonly FieldDifference[];
  /** The reason why khw keeps an object that is no longer in the folder, or why a change is refused. */
  readonly reason?: string;
}

export interface ManifestsDiff {
  readonly rows: readonly ManifestRow[];
  readonly errors: readonly KhwError[];
}

/**
 * Compares the folder of manifests with the cluster, field by field. Changes nothing. Returns errors instead of
 * throwing them, so that the nodes' differences are still shown.
 */
export async function diffManifests(
  manifests: readonly Manifest[],
  config: ClusterConfig,
  signal: AbortSignal,
): Promise<ManifestsDiff> {
  try {
    const admin = await readAdmin(config);
    const publicAddress = await findPublicAddressOf(config, signal);
    const options = { signal, forceConflicts: false, allowed: new Set<string>() };
    return rowsOf(await reviewManifests(openPublicApi({ publicAddress, admin }), manifests, options));
  } catch (thrown) {
    signal.throwIfAborted();
    return { rows: [], errors: [toKhwError(thrown).at({ step: "manifests" })] };
  }
}

/** A conflict with another manager is a difference, not an error of the comparison. */
export function rowsOf({ objects, leaving, errors }: Review): ManifestsDiff {
  const changed = objects
    .filter(({ action }) => action !== "none")
    .map(({ manifest, action, fields, error }): ManifestRow => {
      const { apiVersion, kind, namespace, name, place } = manifest;
      const reason = error === undefined ? {} : { reason: error.message };
      const row = { apiVersion, kind, ...(namespace !== undefined && { namespace }), name, place, fields, ...reason };
      return { ...row, action: action === "create" ? "create" : "change" };
    });
  const left = leaving.map(({ name, action, reason }): ManifestRow => ({
    ...name,
    action,
    fields: [],
    ...(reason !== undefined && { reason }),
  }));
  const shown = new Set(objects.flatMap(({ error }) => error ?? []));
  return { rows: [...changed, ...left], errors: errors.filter((error) => !shown.has(error)) };
}

/** Returns a line for each object, and a line for each of its fields that differ. */
export function manifestsText(diff: ManifestsDiff | undefined): string {
  return (diff?.rows ?? [])
    .flatMap(linesOf)
    .map((line) => `${line}\n`)
    .join("");
}

const verbs = {
  create: "is missing",
  change: "differs",
  delete: "left the folder, and would be deleted",
  keep: "left the folder, and stays",
  forget: "left the folder, and stays",
} as const;

function linesOf(row: ManifestRow): string[] {
  const { action, place, fields, reason } = row;
  const head = `cluster: manifests: ${describeObject(row)} ${verbs[action]}`;
  const source = place === undefined ? "" : ` (${place})`;
  return [
    `${head}${reason === undefined ? source : `: ${reason}`}`,
    ...fields.map((field) => `  ${oneLine(field.path)}: ${describeField(field)}`),
  ];
}

function describeField({ path, found, wanted }: FieldDifference): string {
  if (path === ".metadata.managedFields") return "khw does not own all fields of the file";
  return `${shorten(found)} -> ${shorten(wanted)}`;
}

/** Shortens a value for the text output; the JSON output contains the whole value. */
function shorten(value: string | undefined): string {
  if (value === undefined) return "(absent)";
  return oneLine(value.length > 200 ? `${value.slice(0, 197)}...` : value);
}
