import { parseRelease } from "../../../proto/release.ts";
import { refuse, show } from "../../../proto/validate.ts";

/** The editions of the CIS Kubernetes Benchmark, oldest first. Their numbers do not ascend: 1.7 follows 1.24. */
export const editions = ["1.20", "1.23", "1.24", "1.7", "1.8", "1.9", "1.10", "1.11", "1.12", "2.0"] as const;
export type Edition = (typeof editions)[number];

/**
 * The first Kubernetes minor release of each edition:
 * https://github.com/aquasecurity/kube-bench/blob/main/docs/platforms.md
 */
export const firstMinors: Readonly<Record<Edition, number>> = {
  "1.20": 19,
  "1.23": 22,
  "1.24": 24,
  "1.7": 25,
  "1.8": 26,
  "1.9": 27,
  "1.10": 28,
  "1.11": 29,
  "1.12": 32,
  "2.0": 34,
};

/**
 * Returns the edition for a Kubernetes release. For a release that is newer than all editions, returns the newest
 * edition.
 * @throws KhwError INVALID_ARGUMENT if the text is not a release
 */
export function editionFor(kubernetesVersion: string): Edition {
  const { minor } = parseRelease(kubernetesVersion) ?? refuse("version", `${show(kubernetesVersion)} is not a release`);
  return editions.findLast((edition) => firstMinors[edition] <= minor) ?? editions[0];
}

/** A value that differs between the editions. Each item applies from its own edition until a later item replaces it. */
export type ByEdition<Value> = readonly (readonly [from: Edition, value: Value])[];

export function valueIn<Value>(values: ByEdition<Value>, edition: Edition): Value | undefined {
  return values.findLast(([from]) => isFrom(edition, from))?.[1];
}

/** Whether the edition is `first` or a later edition. */
export function isFrom(edition: Edition, first: Edition): boolean {
  return editions.indexOf(edition) >= editions.indexOf(first);
}
