/**
 * The crash suite for commands that change a running cluster. Before each point, the suite restores the machines'
 * disks, the workstation and the cloud to their state before the commands.
 */
import { compareClusters, machinesOf, readTrees, type Trees } from "./cluster-trees.ts";
import { type CommandStage, openCommandStage } from "./command-stage.ts";
import { formatDifferences } from "./compare.ts";
import { chooseRunningPoints } from "./points.ts";
import { cutShort, undisturbed } from "./run.ts";
import type { Subject } from "./running.ts";
import { etcdIsHealthy, problemsAfter, type Scenario, type ScenarioName, scenarios } from "./scenarios.ts";
import type { Suite, SuiteOptions } from "./suite.ts";

/**
 * Prepares the cluster of a scenario, then runs the commands without interruption.
 * @throws when two uninterrupted runs have different results, or when a command that undoes a bootstrap leaves
 * something behind
 */
export async function openCommandSuite(name: ScenarioName, options: SuiteOptions = {}): Promise<Suite> {
  const stage = await openCommandStage(scenarios[name]);
  try {
    return { ...(await suiteOn(stage, name, options)), [Symbol.asyncDispose]: () => stage[Symbol.asyncDispose]() };
  } catch (error) {
    await stage[Symbol.asyncDispose]();
    throw error;
  }
}

/**
 * Runs the commands of a scenario without interruption, in the scenario's cluster.
 * @throws when two uninterrupted runs have different results, or when a command that undoes a bootstrap leaves
 * something behind
 */
async function suiteOn(
  stage: CommandStage,
  name: ScenarioName,
  { quick = false }: SuiteOptions = {},
): Promise<Omit<Suite, keyof AsyncDisposable>> {
  const scenario: Scenario = scenarios[name];
  const { testbed, workstation, bare } = stage;
  const subject = subjectOf(stage, scenario);
  const once = async () => {
    await stage.restore();
    return { events: await undisturbed(subject), trees: await settled(stage, scenario) };
  };
  const { events, trees: reference } = await once();
  if (scenario.undoes === true) agree(machinesOf(bare), machinesOf(reference), scenario);
  if (!quick) agree(reference, (await once()).trees, scenario);
  const nodes = testbed.nodes.map((node) => node.name);
  return {
    points: (options) => chooseRunningPoints({ ...options, events: { prepared: events }, starts: ["prepared"], nodes }),
    crash: async (point) => {
      await stage.restore();
      const killed = await cutShort(subject, point);
      const problems = await problemsAfter({ nodes: testbed.nodes, workstation }, scenario);
      return { ...killed, problems, differences: compareClusters(reference, await readTrees(stage), scenario) };
    },
  };
}

function subjectOf({ testbed, workstation }: CommandStage, scenario: Scenario): Subject {
  const [first] = scenario.before;
  return {
    testbed,
    workstation,
    commands: scenario.commands.map((command) => [...command, "--output", "json"]),
    // The first controller stays a member unless the command removes the whole cluster.
    ready: async (node) => {
      if (scenario.undoes !== true && node === testbed.nodes[first ?? 0]) await etcdIsHealthy([node]);
    },
  };
}

async function settled(stage: CommandStage, scenario: Scenario): Promise<Trees> {
  const { testbed, workstation } = stage;
  const problems = await problemsAfter({ nodes: testbed.nodes, workstation }, scenario);
  if (problems.length > 0) throw new Error(`after an undisturbed run: ${problems.join("; ")}`);
  return readTrees(stage);
}

/** @throws when the trees differ */
function agree(wanted: Trees, found: Trees, scenario: Scenario): void {
  const disagreement = compareClusters(wanted, found, scenario);
  if (disagreement.length > 0)
    throw new Error(`the results of two undisturbed runs differ:\n${formatDifferences(disagreement)}`);
}
