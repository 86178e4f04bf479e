import type { KhwError } from "../../proto/errors.ts";

/** The settings that say where in Google Cloud the cluster is. */
export type PlaceKey = "project" | "region" | "zone";

/** How project, region and zone were found, for the messages about them. */
export interface PlaceSources {
  /** Names the source of each value: "gce.zone", "CLOUDSDK_COMPUTE_ZONE", "gcloud's configuration lab". */
  readonly from: Readonly<Partial<Record<PlaceKey, string>>>;
  /** Says why a value could not be had, though gcloud or the environment should have it. */
  readonly problems: Readonly<Partial<Record<PlaceKey, KhwError>>>;
  /** Says that another source names another project. */
  readonly contradiction?: string | undefined;
}
