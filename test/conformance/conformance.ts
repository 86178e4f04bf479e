/**
 * Runs the upstream [Conformance] tests that need no running pod, against three controllers that `bootstrap` has set
 * up. Writes the tables in docs/conformance.md. Takes about 15 minutes.
 *
 * usage: conformance.ts [--only PATTERN] [--list]
 * --only    runs only the tests with a matching name; prints the figures and does not touch docs/conformance.md
 * --list    prints the names of all [Conformance] tests without running them
 *
 * Exit status: 0 if every test in the first group of specs.txt passed and no control plane process restarted.
 */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

import { components } from "../../proto/components.ts";
import { machine } from "../bench/report.ts";
import { replaceGenerated } from "../faults/report.ts";
import { openScene } from "../fixtures/faults.ts";
import { must } from "../testbed/command.ts";
import type { TestbedNode } from "../testbed/index.ts";
import { cacheFolder } from "../testbed/layout.ts";
import { realVersion } from "../testbed/workstation.ts";
import { problems, tables } from "./report.ts";
import { findMisfits, parseSpecs, plainName } from "./specs.ts";
import { listConformance, runSpecs } from "./suite.ts";
import { keepWorker } from "./worker.ts";

const document = join(import.meta.dirname, "../../docs/conformance.md");
/**
 * The number of tests that run in parallel. Most tests spend their time waiting, but the three API servers share two
 * processors.
 */
const lanes = 2;
const buildTimeoutMs = 30 * 60_000;
const laneTimeoutMs = 60 * 60_000;
const units = [...components, "etcd", "nginx"];

const { values } = parseArgs({ options: { only: { type: "string" }, list: { type: "boolean", default: false } } });

const built = await must(["bash", join(import.meta.dirname, "build.sh"), cacheFolder()], { timeoutMs: buildTimeoutMs });
const program = join(built.trim(), "e2e.test");
const folder = await mkdtemp(join(tmpdir(), "conformance-"));
try {
  const real = await listConformance(program, folder);
  if (values.list) process.stdout.write(`${real.map(plainName).toSorted().join("\n")}\n`);
  else await conform(real);
} finally {
  await rm(folder, { recursive: true });
}

async function conform(real: readonly string[]): Promise<void> {
  const specs = parseSpecs(await readFile(join(import.meta.dirname, "specs.txt"), "utf8"));
  const misfits = findMisfits(specs, real);
  if (misfits.length > 0)
    throw new Error(`specs.txt does not match the tests of ${realVersion}:\n${misfits.join("\n")}`);
  const only = new RegExp(values.only ?? "");
  const run = new Set(specs.run.filter((name) => only.test(name)));
  const wanted = real.filter((name) => run.has(plainName(name)));

  const before = await machine();
  await using scene = await openScene(3);
  const { testbed, workstation } = scene;
  const { code, stderr } = await scene.bootstrap();
  if (code !== 0) throw new Error(`bootstrap ended with ${code}: ${stderr}`);
  const kubeconfig = join(workstation.folder, "conformance.kubeconfig");
  await workstation.mustKhw(["kubeconfig", "--kubeconfig", kubeconfig, "--use"]);
  await using worker = await keepWorker(workstation);

  const start = performance.now();
  const running = await processes(testbed.nodes);
  // Tests marked [Serial] need the cluster to themselves.
  const serial = wanted.filter((name) => name.includes("[Serial]"));
  const parallel = wanted.filter((name) => !name.includes("[Serial]"));
  const shares = Array.from({ length: lanes }, (_, lane) => parallel.filter((_, index) => index % lanes === lane));
  const runLane = async (names: readonly string[], lane: string) =>
    names.length === 0 ? [] : runSpecs(program, names, { testbed, kubeconfig, folder, lane, timeoutMs: laneTimeoutMs });
  const together = await Promise.all(shares.map((names, lane) => runLane(names, `lane-${lane}`)));
  const outcomes = [...together.flat(), ...(await runLane(serial, "serial"))];
  const minutes = ((performance.now() - start) / 60_000).toFixed(0);

  const found = [
    ...problems(wanted, outcomes, { before: running, after: await processes(testbed.nodes) }),
    ...worker.failures.map((failure) => `the node's lease was not renewed: ${failure}`),
  ];
  const passed = outcomes.filter(({ state }) => state === "passed").length;
  const figures = `${tables(outcomes, specs)}
${passed} of ${wanted.length} tests passed in ${minutes} minutes; ${real.length - wanted.length} were left out. Restarts of control-plane
processes: ${found.filter((problem) => problem.startsWith("started again")).length}. Machine: ${before}.\n`;
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
