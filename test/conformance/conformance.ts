/**
 * Runs the upstream [Conformance] tests against a worker and three controllers. `bootstrap` sets up the controllers.
 * Writes the tables in docs/conformance.md. Takes about an hour.
 *
 * usage: conformance.ts [--only PATTERN] [--resume] [--list]
 * --only    runs only the tests with a matching name; prints the tables and does not change docs/conformance.md
 * --resume  runs only the tests that did not pass in earlier runs
 * --list    prints the names of all [Conformance] tests without running them
 *
 * Writes the results and the tests' output to build/conformance during the run. Exit status: 0 if every test in the
 * first group of specs.txt passed and no control plane process restarted.
 */
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";

import pLimit from "p-limit";

import { components } from "../../proto/components.ts";
import { machine } from "../bench/report.ts";
import { replaceGenerated } from "../faults/report.ts";
import { must } from "../testbed/command.ts";
import type { TestbedNode } from "../testbed/index.ts";
import { cacheFolder } from "../testbed/layout.ts";
import { realVersion } from "../testbed/workstation.ts";
import { openCluster } from "./cluster.ts";
import { problems, summary, tables } from "./report.ts";
import { openResults } from "./results.ts";
import { findMisfits, parseSpecs, plainName } from "./specs.ts";
import { batchesOf, listConformance, runSpecs } from "./suite.ts";

const repository = join(import.meta.dirname, "../..");
const document = join(repository, "docs/conformance.md");
const folder = join(repository, "build/conformance");
/**
 * The number of tests that run in parallel. Most tests spend their time waiting, but all machines share two processors.
 */
const lanes = 4;
/** The number of tests in one run of e2e.test. The results are saved after each run. */
const batchSize = 8;
const buildTimeoutMs = 30 * 60_000;
const batchTimeoutMs = 60 * 60_000;
const units = [...components, "etcd", "nginx"];

const { values } = parseArgs({
  options: {
    only: { type: "string" },
    resume: { type: "boolean", default: false },
    list: { type: "boolean", default: false },
  },
});

const built = await must(["bash", join(import.meta.dirname, "build.sh"), cacheFolder()], { timeoutMs: buildTimeoutMs });
const program = join(built.trim(), "e2e.test");
await mkdir(folder, { recursive: true });
const real = await listConformance(program, folder);
if (values.list) process.stdout.write(`${real.map(plainName).toSorted().join("\n")}\n`);
else await conform();

async function conform(): Promise<void> {
  const specs = parseSpecs(await readFile(join(import.meta.dirname, "specs.txt"), "utf8"));
  const misfits = findMisfits(specs, real);
  if (misfits.length > 0)
    throw new Error(`specs.txt does not match the tests of ${realVersion}:\n${misfits.join("\n")}`);
  const only = new RegExp(values.only ?? "");
  const named = new Map(real.map((name) => [plainName(name), name]));
  // The tests run in the order of specs.txt. The order in which e2e.test lists the tests is random.
  const wanted = specs.run.filter((name) => only.test(name)).flatMap((name) => named.get(name) ?? []);
  const results = await openResults(folder, values);
  const passed = new Set(results.all().map(({ name }) => name));
  const missing = wanted.filter((name) => !passed.has(name));

  const before = await machine();
  await using cluster = await openCluster();
  const { testbed, workstation } = cluster.scene;
  const running = await processes(testbed.nodes);
  const runBatch = async (names: readonly string[], index: number): Promise<void> => {
    const batch = `${names[0]?.includes("[Serial]") ? "serial" : "parallel"}-${index}`;
    const place = { testbed, kubeconfig: cluster.kubeconfig, folder, batch, timeoutMs: batchTimeoutMs };
    try {
      const outcomes = await runSpecs(program, names, place);
      await results.add(outcomes);
      for (const { name, state } of outcomes) process.stdout.write(`${state}: ${name}\n`);
    } catch (error) {
      // The run continues, because the tests in the other batches can still run.
      process.stderr.write(`conformance: ${batch}: ${String(error)}\n`);
    }
  };
  // Tests marked [Serial] need the cluster to themselves.
  const [serial = [], parallel = []] = [true, false].map((is) =>
    missing.filter((name) => name.includes("[Serial]") === is),
  );
  await pLimit(lanes).map(batchesOf(parallel, batchSize), runBatch);
  await pLimit(1).map(batchesOf(serial, batchSize), runBatch);

  const outcomes = results.all().filter(({ name }) => wanted.includes(name));
  const found = problems(wanted, outcomes, { before: running, after: await processes(testbed.nodes) });
  const figures = `${tables(outcomes, specs)}\n${summary(outcomes, real.length, { lanes, machine: before })}`;
  process.stdout.write(figures);
  for (const problem of found) process.stderr.write(`conformance: ${problem}\n`);
  if (found.length > 0) {
    process.exitCode = 1;
    // The agents' events show who restarted which component, and why.
    const { stdout } = await workstation.khw(["events", "--nodes", testbed.nodes.map(({ name }) => name).join(",")]);
    process.stderr.write(`conformance: the agents' events:\n${stdout}`);
  } else if (values.only === undefined) {
    await replaceGenerated(document, figures);
  }
}

/** Returns the control plane's processes with their ids and start times. A restart changes both. */
async function processes(nodes: readonly TestbedNode[]): Promise<readonly string[]> {
  const of = async (node: TestbedNode): Promise<readonly string[]> =>
    Promise.all(
      units.map(async (unit) => {
        const argv = ["systemctl", "show", "-P", "MainPID", "-P", "ExecMainStartTimestampMonotonic", unit];
        return `${node.name} ${unit} ${(await node.must(argv)).trim().replaceAll("\n", " ")}`;
      }),
    );
  return (await Promise.all(nodes.map(of))).flat();
}
