import type { Compute } from "./compute.ts";
import type { ComputeConnection } from "./config.ts";
import { openCredentials } from "./credentials.ts";
import { restCompute } from "./rest.ts";

/**
 * Opens the configured Compute Engine API. No credentials are looked up, and no connection is opened, before the first
 * request. `operationMillis` is the time limit for an operation.
 */
export function openCompute(
  { project, endpoint, auth }: ComputeConnection,
  operationMillis: number,
): Compute & AsyncDisposable {
  return restCompute({ endpoint, credentials: openCredentials(auth, project), operationMillis });
}
