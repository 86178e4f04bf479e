/** Points the real gcloud at the testbed's Compute API. */
import { project } from "./layout.ts";

/** Returns an environment in which gcloud calls only the testbed's API. `config` is a folder for gcloud's own files. */
export function gcloudEnvironment(computeUrl: string, config: string): Readonly<Record<string, string>> {
  return {
    CLOUDSDK_CONFIG: config,
    CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE: computeUrl,
    CLOUDSDK_AUTH_DISABLE_CREDENTIALS: "true",
    CLOUDSDK_CORE_PROJECT: project.id,
    CLOUDSDK_COMPUTE_REGION: project.region,
    CLOUDSDK_COMPUTE_ZONE: project.zone,
    CLOUDSDK_CORE_DISABLE_PROMPTS: "1",
    CLOUDSDK_CORE_DISABLE_USAGE_REPORTING: "true",
    CLOUDSDK_CORE_CHECK_GCE_METADATA: "false",
    CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK: "true",
  };
}
