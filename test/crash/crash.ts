/**
 * Bootstraps a bare controller repeatedly, or repeatedly upgrades and rolls back a cluster. Each time, kills the agent,
 * the client, the machine or etcd midway, and runs the same command again. Compares all files with the files of an
 * undisturbed run.
 *
 * usage: crash.ts [--of COMMAND] [--nodes N] [--points N] [--from K] [--only VICTIM,...] [--seed N]
 *                 [--parallel N] [--results FILE] [--again]
 * --of        the interrupted command: bootstrap (the default), upgrade, or a name in scenarios.ts
 * --nodes     the number of controllers of an upgrade; 3 by default
 * --points    the number of the last point; by default 200 for a bootstrap, 45 for an upgrade (30 of them during the
 *             upgrade, 15 during the rollback), and 15 for any other command
 * --from      the number of the first point; 1 by default
 * --only      agent, client, machine, etcd
 * --seed      a different seed chooses different points; 1 by default
 * --parallel  the number of testbeds that run at the same time; 1 by default
 * --results   a file of JSON lines, one per point; by default build/crash.jsonl, or build/crash-COMMAND.jsonl.
 *             Skips the points whose result in this file is "identical"
 * --again     also runs the points that would be skipped
 *
 * Exit status: 0 if the files were identical for every chosen point, otherwise 1.
 */
import { join } from "node:path";
import { parseArgs } from "node:util";

import { must } from "../testbed/command.ts";
import { openCommandSuite } from "./command-suite.ts";
import { formatDifferences } from "./compare.ts";
import { type Point, victims } from "./points.ts";
import { describe, summary } from "./report.ts";
import { addResult, lastResults, readResults, type Result, type Verdict } from "./results.ts";
import { type ScenarioName, scenarios } from "./scenarios.ts";
import { openSuite, type Outcome, type Suite } from "./suite.ts";
import { openUpgradeSuite } from "./upgrade-suite.ts";

interface Command {
  /** The number of points, unless --points names another number. */
  readonly count: number;
  readonly file: string;
  readonly open: () => Promise<Suite>;
}

const root = join(import.meta.dirname, "../..");
const { values } = parseArgs({
  options: {
    of: { type: "string", default: "bootstrap" },
    nodes: { type: "string", default: "3" },
    points: { type: "string" },
    from: { type: "string", default: "1" },
    only: { type: "string", default: victims.join() },
    seed: { type: "string", default: "1" },
    parallel: { type: "string", default: "1" },
    results: { type: "string" },
    again: { type: "boolean", default: false },
  },
});
const scenarioNames = Object.keys(scenarios).filter((name): name is ScenarioName => name in scenarios);
/** The commands that can be interrupted. */
const commands: Readonly<Record<string, Command>> = {
  ...Object.fromEntries(
    scenarioNames.map((name) => [name, { count: 15, file: `crash-${name}.jsonl`, open: () => openCommandSuite(name) }]),
  ),
  bootstrap: { count: 200, file: "crash.jsonl", open: () => openSuite() },
  upgrade: {
    count: 45,
    file: "crash-upgrade.jsonl",
    open: () => openUpgradeSuite({ nodes: Number(values.nodes), starts: ["old", "new", "old"] }),
  },
};
const command = commands[values.of];
if (command === undefined) throw new Error(`--of ${values.of}: use one of ${Object.keys(commands).join(", ")}`);
const { open } = command;
const results = values.results ?? join(root, "build", command.file);
const [count, from, seed] = [Number(values.points ?? command.count), Number(values.from), Number(values.seed)];
const only = values.only.split(",");
const commit = await describeCommit();
const before = values.again ? new Map<number, Result>() : lastResults(await readResults(results), seed);
/** The points that have already been assigned to a testbed. No point is assigned twice. */
const taken = new Set<number>();

await Promise.all(Array.from({ length: Number(values.parallel) }, work));
const all = lastResults(await readResults(results), seed);
const chosen = [...all.values()].filter(({ number, victim }) => isChosen(number, victim));
process.stdout.write(`\n${summary(chosen)}`);
for (const result of chosen) if (result.verdict !== "identical") process.stdout.write(describe(result));
process.exitCode = chosen.length > 0 && chosen.every(({ verdict }) => verdict === "identical") ? 0 : 1;

async function work(): Promise<void> {
  while (await workOn()) process.stdout.write("a new testbed\n");
}

/**
 * Returns whether points are left to run. After a point that fails or leaves a difference, no further point runs on the
 * same machines.
 */
async function workOn(): Promise<boolean> {
  await using suite = await open();
  for (const point of suite.points({ count, seed })) {
    if (!isChosen(point.number, point.victim) || taken.has(point.number)) continue;
    if (before.get(point.number)?.verdict === "identical") continue;
    taken.add(point.number);
    const result = await attempt(suite, point);
    await addResult(results, result);
    process.stdout.write(describe(result));
    if (result.verdict === "differs" || result.verdict === "failed") return true;
  }
  return false;
}

function isChosen(number: number, victim: string): boolean {
  return number >= from && number <= count && only.includes(victim);
}

async function attempt(suite: Suite, point: Point): Promise<Result> {
  const begun = performance.now();
  const end = (of: Pick<Result, "verdict" | "killedAfter" | "runs" | "found">): Result => {
    const seconds = Math.round((performance.now() - begun) / 100) / 10;
    return { ...point, ...of, seconds, seed, commit, at: new Date().toISOString() };
  };
  try {
    const outcome = await suite.crash(point);
    const { event: killedAfter, runs, differences, problems } = outcome;
    const found = [...differences.map((difference) => formatDifferences([difference])), ...problems];
    return end({ verdict: verdictOf(outcome), killedAfter, runs, found });
  } catch (error) {
    return end({ verdict: "failed", killedAfter: "", runs: [], found: [String(error)] });
  }
}

function verdictOf({ differences, problems, killed }: Outcome): Verdict {
  if (differences.length > 0 || problems.length > 0) return "differs";
  return killed ? "identical" : "missed";
}

/** Returns the commit; a plus sign after it means that the working tree has uncommitted changes. */
async function describeCommit(): Promise<string> {
  const git = ["git", "-C", root];
  const hash = (await must([...git, "rev-parse", "--short", "HEAD"])).trim();
  return (await must([...git, "status", "--porcelain"])) === "" ? hash : `${hash}+`;
}
