import type { KhwError } from "../../proto/errors.ts";

/** The settings for the cluster's location in Google Cloud. */
export type PlaceKey = "project" | "region" | "zone";

/** The sources of project, region and zone, for messages. */
export interface PlaceSources {
  /** Names the source of each value: "gce.zone", "CLOUDSDK_COMPUTE_ZONE", "gcloud's configuration lab". */
  readonly from: Readonly<Partial<Record<PlaceKey, string>>>;
  /** The reason why a value is missing although gcloud or the environment should provide it. */
  readonly problems: Readonly<Partial<Record<PlaceKey, KhwError>>>;
  /** The warning that another source specifies a different project. */
  readonly contradiction?: string | undefined;
}
