import { painter } from "../terminal/colour.ts";
import type { ClusterConfig } from "../config/schema.ts";
import type { Context } from "../terminal/context.ts";
import { examine, isSound } from "../doctor/doctor.ts";
import { reportDocument, reportText } from "../doctor/report.ts";
import type { Output } from "../progress/open.ts";
import { clientVersion } from "../client-version.ts";

export interface DoctorOptions {
  readonly output: Output;
  /** Whether to also list the checks that passed. */
  readonly verbose: boolean;
}

/**
 * Runs every check and prints the findings. Returns exit code 0 if there is no error and all checks ran, otherwise 1.
 */
export async function doctor(
  load: () => Promise<ClusterConfig>,
  context: Context,
  { output, verbose }: DoctorOptions,
): Promise<number> {
  const { signal, write } = context;
  const results = await examine(load, { signal, clientVersion: await clientVersion() });
  write(
    output === "json"
      ? `${JSON.stringify(reportDocument(results), null, 2)}\n`
      : reportText(results, { paint: painter(context), verbose }),
  );
  return isSound(results) ? 0 : 1;
}
