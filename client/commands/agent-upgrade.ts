import { KhwError } from "../../proto/errors.ts";
import { UpgradeAgentOutcome, type UpgradeAgentResponse } from "../../proto/gen/khw/agent/v1/agent.ts";
import type { StepEvent } from "../../proto/step.ts";
import { openPackage, type LocalPackage } from "../agent-upgrade/package.ts";
import { checkOn, type UpgradeConsent, upgradeNode } from "../agent-upgrade/upgrade-node.ts";
import type { AgentNode } from "../cluster/agent-client.ts";
import { refuseFindings } from "../cluster/combine-errors.ts";
import { forEachNode } from "../cluster/for-each-node.ts";
import { type Member, openCluster, type OpenCluster } from "../cluster/open.ts";
import { selectNodes } from "../cluster/select-nodes.ts";
import type { ClusterConfig } from "../config/schema.ts";
import { openProgress, type Output } from "../progress/open.ts";
import { phase } from "../progress/phase.ts";
import { finalNote, note, type Progress } from "../progress/progress.ts";
import { concludeNodes, oneByOne } from "../rollout/one-by-one.ts";
import type { Context } from "../terminal/context.ts";

export interface AgentUpgradeOptions extends UpgradeConsent {
  readonly output: Output;
  /** The node arguments; if empty, all nodes. */
  readonly nodes: readonly string[];
  /** The path of the package. */
  readonly deb: string;
}

/** Ctrl-C does not stop work that has started; only the work's own deadline does. */
const never = new AbortController().signal;

/** The maximum number of agents that receive the package at the same time. */
const concurrency = 10;

/** See upgradeAgents. */
export async function agentUpgrade(
  config: ClusterConfig,
  context: Context,
  options: AgentUpgradeOptions,
): Promise<number> {
  const local = await openPackage(options.deb);
  await using cluster = await openCluster(config, context.signal, { greet: false });
  return await upgradeAgents(cluster, context, { ...options, local });
}

/**
 * Upgrades the agents with a package, one node at a time, until the first failure. Every agent checks the package
 * before the first agent is upgraded. After Ctrl-C, finishes the current node and then stops. Returns exit code 0 or
 * 130, or throws an error.
 */
export async function upgradeAgents(
  { members }: Pick<OpenCluster, "members">,
  context: Context,
  options: Omit<AgentUpgradeOptions, "deb"> & { readonly local: LocalPackage },
): Promise<number> {
  const { signal } = context;
  const { local, allowDowngrade, noRollback } = options;
  const consent = { allowDowngrade, noRollback };
  const chosen = options.nodes.length === 0 ? members : selectNodes(members, options.nodes);
  const progress = await openProgress(options.output, context);
  note(progress, `the agents are checking ${local.path}`);
  const due = await checkAll(chosen, { local, consent, signal, progress });
  if (due.length === 0) {
    finalNote(progress, "every agent already has this version, and keeps the package for rollbacks");
    return 0;
  }
  progress.emit({ kind: "begin", tracks: due.map(({ node }) => node.address.name) });
  const outcomes = await oneByOne(due, {
    progress,
    signal,
    interrupted: (name) => `stopping after ${name}`,
    work: async ({ node, checked: { fromVersion, toVersion } }) => {
      const emit = (event: StepEvent): void => progress.emit({ kind: "step", track: node.address.name, event });
      const summary = `khw-agent ${fromVersion} is upgraded to ${toVersion}`;
      await phase({ id: "khw-agent", summary }, emit, (tell) =>
        upgradeNode(node, { local, consent, progress: tell, signal: never }),
      );
      return { node, changed: 1 };
    },
  });
  await progress.settled();
  return concludeNodes(outcomes, { headline: "some agents were not upgraded" }) ? 0 : 130;
}

interface Due {
  readonly node: AgentNode;
  readonly checked: UpgradeAgentResponse;
}

interface CheckAllOptions {
  readonly local: LocalPackage;
  readonly consent: UpgradeConsent;
  readonly signal: AbortSignal;
  readonly progress: Progress;
}

/**
 * Returns the nodes to upgrade.
 * @throws KhwError with the reasons of all agents that reject the package; nothing is installed in that case
 */
async function checkAll(members: readonly Member[], options: CheckAllOptions): Promise<Due[]> {
  const answers = await forEachNode(members, concurrency, async (node) => ({
    node,
    checked: await checkOn(node, options),
  }));
  refuseFindings(answers.flatMap(({ error }) => error ?? []));
  const results = answers.flatMap(({ value }) => value ?? []);
  for (const { node, checked } of results) {
    const { name } = node.address;
    if (checked.outcome === UpgradeAgentOutcome.UPGRADE_AGENT_OUTCOME_UNCHANGED)
      note(options.progress, `${name}: khw-agent ${checked.toVersion} is already installed`);
    else if (checked.outcome !== UpgradeAgentOutcome.UPGRADE_AGENT_OUTCOME_CHECKED)
      throw new KhwError(
        "INVALID_RESPONSE",
        "this client does not understand the agent's response to the package check",
        {
          node: name,
        },
      );
  }
  return results.filter(({ checked }) => checked.outcome === UpgradeAgentOutcome.UPGRADE_AGENT_OUTCOME_CHECKED);
}
