import type { Compute } from "./compute.ts";
import type { ComputeConnection } from "./config.ts";
import { openCredentials } from "./credentials.ts";
import { restCompute } from "./rest.ts";

/**
 * The Compute Engine API as the configuration names it. Nothing is looked up or connected before the first request.
 * `operationMillis` is how long one of its operations may take.
 */
export function openCompute(
  { project, endpoint, auth }: ComputeConnection,
  operationMillis: number,
): Compute & AsyncDisposable {
  return restCompute({ endpoint, credentials: openCredentials(auth, project), operationMillis });
}
