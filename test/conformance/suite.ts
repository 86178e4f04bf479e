/** Runs the upstream e2e.test program, which lists its tests or runs some of them against a cluster. */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { run } from "../testbed/command.ts";
import type { RunResult } from "../testbed/command.ts";
import type { Testbed } from "../testbed/index.ts";
import { realVersion } from "../testbed/workstation.ts";
import { type Outcome, parseOutcomes } from "./outcome.ts";

/** The cluster and the folder that a run uses. */
export interface Place {
  readonly testbed: Testbed;
  readonly kubeconfig: string;
  /** The folder for reports and logs, which must exist. */
  readonly folder: string;
}

/** Returns the names of all [Conformance] tests that the program contains. */
export async function listConformance(program: string, folder: string): Promise<readonly string[]> {
  const dump = join(folder, "list.jsonl");
  const { code, stdout, stderr } = await run(
    [
      program,
      "--ginkgo.dryRun",
      String.raw`--ginkgo.focus=\[Conformance\]`,
      `--spec-dump=${dump}`,
      "--provider=skeleton",
    ],
    { cwd: folder },
  );
  if (code !== 0) throw new Error(`${program} cannot list its tests: ${stdout.slice(-2000)}${stderr.slice(-2000)}`);
  return (await parsed(dump)).filter(({ state }) => state === "passed").map(({ name }) => name);
}

/** Divides the tests into batches of this size, and keeps their order, so that tests of one group stay together. */
export function batchesOf(names: readonly string[], size: number): readonly (readonly string[])[] {
  return Array.from({ length: Math.ceil(names.length / size) }, (_, index) =>
    names.slice(index * size, (index + 1) * size),
  );
}

/**
 * Runs the given tests one after the other and returns the result of each. The tests' output stays in the batch's
 * folder.
 * @throws Error with the program's last output, if the program ends early
 */
export async function runSpecs(
  program: string,
  names: readonly string[],
  { testbed, kubeconfig, folder, batch, timeoutMs }: Place & { readonly batch: string; readonly timeoutMs: number },
): Promise<readonly Outcome[]> {
  const home = join(folder, batch);
  await mkdir(home, { recursive: true });
  const dump = join(home, "specs.jsonl");
  const argv = [
    program,
    `--ginkgo.focus=(${names.map(escaped).join("|")})$`,
    "--ginkgo.noColor",
    `--spec-dump=${dump}`,
    "--provider=skeleton",
    `--kubeconfig=${kubeconfig}`,
    `--kubectl-path=${join(testbed.kubernetes, realVersion, "kubectl")}`,
    `--e2e-output-dir=${home}`,
    "--disable-log-dump",
  ];
  const result = await testbed.run(argv, { cwd: home, env: { HOME: home }, timeoutMs });
  await writeFile(join(home, "output.log"), result.stdout + result.stderr);
  return (await parsed(dump, result)).filter(({ state }) => state !== "skipped");
}

async function parsed(dump: string, result?: RunResult): Promise<readonly Outcome[]> {
  try {
    return parseOutcomes(await readFile(dump, "utf8"));
  } catch (cause) {
    const words = result === undefined ? "" : `: ${result.stdout.slice(-4000)}${result.stderr.slice(-4000)}`;
    throw new Error(`e2e.test ended too early ${words}`, { cause });
  }
}

/** Escapes the name for use in a Go regular expression. */
function escaped(name: string): string {
  return name.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);
}
