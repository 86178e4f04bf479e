/**
 * Causes every fault in faults.ts on every node of a testbed's control plane. Measures the time until an external
 * client detects each fault, and the time until everything is healthy again. Writes the table in docs/faults.md. Takes
 * about 15 minutes.
 *
 * usage: table.ts [--nodes N] [--only PATTERN] [--deadline SECONDS]
 * --only      causes only the faults with a matching name; prints the table and does not change docs/faults.md
 * --deadline  the time limit for each fault, from the fault until everything is healthy; 180 by default
 *
 * Exit status: 0 if every fault was detected and repaired in time; otherwise 1, and the document is not written.
 */
import { join } from "node:path";
import { parseArgs } from "node:util";

import { machine } from "../bench/report.ts";
import type { TestbedNode } from "../testbed/index.ts";
import { openScene } from "../fixtures/faults.ts";
import { type Fault, faults } from "./faults.ts";
import { allWell, measure, type MeasureOptions, type Mended, type Outcome, untilWell } from "./measure.ts";
import { replaceGenerated, table } from "./report.ts";
import { watchNodes } from "./watch.ts";

const document = join(import.meta.dirname, "../../docs/faults.md");
/** The time within which the control plane must become healthy before the next fault. */
const settleMillis = 240_000;

const { values } = parseArgs({
  options: {
    nodes: { type: "string", default: "3" },
    only: { type: "string" },
    deadline: { type: "string", default: "180" },
  },
});
const only = new RegExp(values.only ?? "");
const chosen = faults.filter(({ name }) => only.test(name));

const start = performance.now();
const before = await machine();
await using scene = await openScene(Number(values.nodes));
const { testbed, workstation } = scene;
const { code, stderr } = await scene.bootstrap();
if (code !== 0) throw new Error(`bootstrap ended with ${code}: ${stderr}`);
await using watch = watchNodes(testbed, workstation);
const options: MeasureOptions = { watch, deadlineMillis: Number(values.deadline) * 1000 };

const outcomes: Outcome[] = [];
const [alone, independent] = [chosen.filter((fault) => fault.alone), chosen.filter((fault) => !fault.alone)];
await settled();
// Each node starts at a different position in the list, so that two nodes rarely have the same fault at the same time.
await Promise.all(testbed.nodes.map((node, index) => inTurn(rotated(independent, index), node)));
for (const fault of alone) {
  for (const node of testbed.nodes) {
    await afresh(node);
    await settled();
    tell(await measure(fault, node, options));
  }
}

const mended = outcomes.filter((outcome): outcome is Mended => "healthy" in outcome);
const minutes = ((performance.now() - start) / 60_000).toFixed(0);
const figures = `${table(
  chosen.map(({ name }) => name),
  mended,
)}\n${outcomes.length} faults in ${minutes} minutes on ${before}.\n`;
process.stdout.write(figures);
if (mended.length < outcomes.length || mended.length < chosen.length * testbed.nodes.length) {
  process.stderr.write("faults: not every fault was detected and repaired, so the document is not written");
  process.exitCode = 1;
} else if (values.only === undefined) {
  await replaceGenerated(document, figures);
}

/**
 * Causes one fault after the other, each on a healthy node. If the node stays broken, the remaining faults are skipped.
 */
async function inTurn(list: readonly Fault[], node: TestbedNode): Promise<void> {
  for (const fault of list) {
    try {
      await afresh(node);
      await untilWell(node, watch, AbortSignal.timeout(settleMillis));
    } catch (error) {
      process.stderr.write(`faults: ${node.name}: "${fault.name}" and all later faults are skipped: ${String(error)}`);
      return;
    }
    tell(await measure(fault, node, options));
  }
}

/**
 * Restarts the agent before each fault, so that the agent forgets earlier repairs. Several faults affect the same
 * component or step. Without the restart, the agent would wait longer before each repair. The restart does not affect
 * the control plane.
 */
async function afresh(node: TestbedNode): Promise<void> {
  const lost = watch.until(
    (word) => (word?.kind === "lost" && word.node === node.name ? true : undefined),
    AbortSignal.timeout(settleMillis),
  );
  await Promise.all([lost, node.must(["systemctl", "restart", "khw-agent"])]);
  await watch.until(
    () => (watch.view(node.name).lost === undefined ? true : undefined),
    AbortSignal.timeout(settleMillis),
  );
}

async function settled(): Promise<void> {
  await allWell(testbed.nodes, watch, settleMillis);
}

function rotated(list: readonly Fault[], index: number): Fault[] {
  const from = Math.floor((list.length * index) / testbed.nodes.length);
  return [...list.slice(from), ...list.slice(0, from)];
}

function tell(outcome: Outcome): void {
  outcomes.push(outcome);
  const end =
    "healthy" in outcome ? `seen ${outcome.seen} ms, healthy ${outcome.healthy} ms` : `FAILED: ${outcome.problem}`;
  process.stderr.write(`faults: ${outcome.node}: ${outcome.fault}: ${end}\n`);
}
