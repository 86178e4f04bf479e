import type { KhwError } from "../../proto/errors.ts";

/** The settings for the cluster's location in Google Cloud. */
export type PlaceKey = "project" | "region" | "zone";

/** The sources of project, region and zone, for messages. */
export interface PlaceSources {
  /** The name of each value's source, such as "gce.zone", "CLOUDSDK_COMPUTE_ZONE" or "gcloud's configuration lab". */
  readonly from: Readonly<Partial<Record<PlaceKey, string>>>;
  /** The reason why a value is missing although gcloud or the environment should provide it. */
  readonly problems: Readonly<Partial<Record<PlaceKey, KhwError>>>;
  /** The warning that another source specifies a different project. */
  readonly contradiction?: string | undefined;
}
