/**
 * The crash suite for a bootstrap. Compares machines after an interrupted bootstrap with machines after an undisturbed
 * bootstrap.
 */
import { compareTrees, type Difference, formatDifferences } from "./compare.ts";
import { fromTheWorkOn, type TimedEvent } from "./events.ts";
import { exceptions, workstationExceptions } from "./exceptions.ts";
import { type BootstrapStart, choosePoints, type Point } from "./points.ts";
import { findProblems } from "./properties.ts";
import { cutShort, type Killed, undisturbed } from "./run.ts";
import type { Subject } from "./running.ts";
import { type Certificates, openStage, type Stage } from "./stage.ts";
import type { Tree } from "./tree.ts";

/** A stage, and the results of undisturbed runs on this stage. Disposing of the suite takes the testbed down. */
export interface Suite extends AsyncDisposable {
  /** Returns the first `count` points. */
  points(options: { readonly count: number; readonly seed: number }): Point[];
  crash(point: Point): Promise<Outcome>;
}

/** The result of a point. */
export interface Outcome extends Killed {
  /** The paths that differ from the undisturbed machine and workstation. */
  readonly differences: readonly Difference[];
  /** The violated properties. */
  readonly problems: readonly string[];
}

interface Trees {
  readonly machine: Tree;
  readonly workstation: Tree;
}

export interface SuiteOptions {
  /** Whether to make only one undisturbed run. By default, two undisturbed runs must have the same result. */
  readonly quick?: boolean;
}

/** Boots the machine and bootstraps it undisturbed. @throws when two undisturbed runs have different results */
export async function openSuite({ quick = false }: SuiteOptions = {}): Promise<Suite> {
  const stage = await openStage();
  try {
    await stage.reset();
    const bare = await undisturbed(subjectOf(stage));
    const first = await settledTrees(stage);
    const certificates = await stage.copyCertificates();
    const { enrolled, reference } = quick
      ? { enrolled: fromTheWorkOn(bare), reference: first }
      : await runEnrolled(stage, { certificates, first });
    const events: Record<BootstrapStart, readonly TimedEvent[]> = { bare, enrolled };
    return {
      points: (options) => choosePoints({ ...options, events }),
      crash: (point) => crash(stage, point, { certificates, reference }),
      [Symbol.asyncDispose]: () => stage[Symbol.asyncDispose](),
    };
  } catch (error) {
    await stage[Symbol.asyncDispose]();
    throw error;
  }
}

async function runEnrolled(
  stage: Stage,
  { certificates, first }: { readonly certificates: Certificates; readonly first: Trees },
): Promise<{ readonly enrolled: readonly TimedEvent[]; readonly reference: Trees }> {
  await stage.reset(certificates);
  const enrolled = await undisturbed(subjectOf(stage));
  const reference = await settledTrees(stage);
  const disagreement = compare(first, reference);
  if (disagreement.length > 0) throw new Error(`two undisturbed machines differ:\n${formatDifferences(disagreement)}`);
  return { enrolled, reference };
}

async function crash(
  stage: Stage,
  point: Point,
  { certificates, reference }: { readonly certificates: Certificates; readonly reference: Trees },
): Promise<Outcome> {
  const isBare = point.start === "bare";
  await stage.reset(isBare ? undefined : certificates);
  const killed = await cutShort(subjectOf(stage), point);
  const problems = await findProblems(checkedOf(stage));
  const found = await readTrees(stage);
  // If a run created its own certificates, it is compared with an undisturbed run that uses the same certificates.
  const wanted = isBare ? await referenceFor(stage) : reference;
  return { ...killed, problems, differences: compare(wanted, found) };
}

/** Makes an undisturbed run with the current certificates. */
async function referenceFor(stage: Stage): Promise<Trees> {
  await stage.reset(await stage.copyCertificates());
  await undisturbed(subjectOf(stage));
  return settledTrees(stage);
}

const all = ["--nodes", "controller-0"];

function subjectOf({ testbed, workstation }: Stage): Subject {
  return { testbed, workstation, commands: [["bootstrap", ...all, "--output", "json"]] };
}

function checkedOf({ node, workstation }: Stage) {
  return { nodes: [node], workstation, plan: ["plan", ...all] };
}

async function settledTrees(stage: Stage): Promise<Trees> {
  const problems = await findProblems(checkedOf(stage));
  if (problems.length > 0) throw new Error(`the undisturbed machine: ${problems.join("; ")}`);
  return readTrees(stage);
}

async function readTrees(stage: Stage): Promise<Trees> {
  return { machine: await stage.machineTree(), workstation: await stage.workstationTree() };
}

function compare(wanted: Trees, found: Trees): Difference[] {
  return [
    ...compareTrees(wanted.machine, found.machine, exceptions),
    ...compareTrees(wanted.workstation, found.workstation, workstationExceptions).map(({ path, ...rest }) => ({
      path: `workstation:${path}`,
      ...rest,
    })),
  ];
}
