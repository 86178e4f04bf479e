import type { ClusterConfig } from "../config/schema.ts";
import { cisDocument, cisText } from "../doctor/cis/report.ts";
import { isCompliant, runCis } from "../doctor/cis/run.ts";
import { openAnyway } from "../doctor/open.ts";
import { painter } from "../terminal/colour.ts";
import type { Context } from "../terminal/context.ts";
import type { DoctorOptions } from "./doctor.ts";

/**
 * Runs the checks of the CIS Kubernetes Benchmark and prints the results. Returns exit code 0 if all checks ran and khw
 * gives a reason for every failed check, otherwise 1.
 */
export async function doctorCis(
  config: ClusterConfig,
  context: Context,
  { output, verbose }: DoctorOptions,
): Promise<number> {
  const { signal, write } = context;
  const { cluster: opened, error } = await openAnyway(config, signal);
  if (opened === undefined) throw error;
  await using cluster = opened;
  const report = await runCis(cluster, signal);
  write(
    output === "json"
      ? `${JSON.stringify(cisDocument(report), null, 2)}\n`
      : cisText(report, { paint: painter(context), verbose }),
  );
  return isCompliant(report) ? 0 : 1;
}
