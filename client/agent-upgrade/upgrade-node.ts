import { KhwError, toKhwError } from "../../proto/errors.ts";
import {
  type AgentUpgrade,
  AgentUpgradeState,
  UpgradeAgentOutcome,
  type UpgradeAgentResponse,
} from "../../proto/gen/khw/agent/v1/agent.ts";
import { type Look, waitFor, type WaitClock } from "../../proto/wait-for.ts";
import { isUnknownCall } from "../cluster/call-errors.ts";
import type { AgentNode } from "../cluster/agent-client.ts";
import type { LocalPackage } from "./package.ts";

/** The risks that the user accepts. */
export interface UpgradeConsent {
  readonly allowDowngrade: boolean;
  readonly noRollback: boolean;
}

/** Sends the package to an agent, which checks the package but does not install it. */
export function checkOn(
  node: AgentNode,
  {
    local,
    consent,
    signal,
  }: { readonly local: LocalPackage; readonly consent: UpgradeConsent; readonly signal: AbortSignal },
): Promise<UpgradeAgentResponse> {
  return send(node, { local, consent, checkOnly: true, signal });
}

/**
 * apt waits up to 5 minutes for its lock, and must finish within 15 minutes in total. A rollback may take just as long.
 */
const deadlineMillis = 35 * 60_000;
const intervalMillis = 1_000;

export interface UpgradeNodeOptions {
  readonly local: LocalPackage;
  readonly consent: UpgradeConsent;
  readonly progress: (text: string) => void;
  readonly signal: AbortSignal;
  readonly clock?: WaitClock;
}

/**
 * Upgrades the agent of one node, and waits until the upgrade ends. The first call that the new agent answers confirms
 * the upgrade. Without this call, the node rolls back.
 * @throws KhwError if the new version is not installed or the agent does not answer
 */
export async function upgradeNode(node: AgentNode, options: UpgradeNodeOptions): Promise<UpgradeAgentResponse> {
  const { local, consent, progress, signal, clock } = options;
  const response = await send(node, { local, consent, checkOnly: false, signal });
  const { outcome, upgrade } = response;
  if (outcome === UpgradeAgentOutcome.UPGRADE_AGENT_OUTCOME_UNCHANGED) return response;
  if (upgrade === undefined)
    throw new KhwError("INVALID_RESPONSE", "the agent's response does not say whether the upgrade started");
  await waitFor({
    what: `khw-agent ${upgrade.toVersion} does not answer, and khw-agent ${upgrade.fromVersion} has not come back`,
    check: () => look(node, upgrade, signal),
    deadlineMillis,
    intervalMillis,
    signal,
    progress,
    late: ({ message }) =>
      new KhwError("UNREACHABLE", message, {
        hint: "see `journalctl --unit=khw-agent --unit=khw-agent-upgrade --unit=khw-agent-rollback` on the node",
      }),
    ...(clock !== undefined && { clock }),
  });
  return response;
}

/** The agent restarts during the upgrade, so a failed call does not mean that the upgrade failed. */
async function look(node: AgentNode, { id, toVersion }: AgentUpgrade, signal: AbortSignal): Promise<Look<void>> {
  let now: AgentUpgrade | undefined;
  try {
    // Makes a short call first, because the status of a busy machine can take a long time.
    await node.info(signal);
    now = (await node.status(signal)).agentUpgrade;
  } catch (thrown) {
    signal.throwIfAborted();
    return { seen: `installing ${toVersion}: ${toKhwError(thrown).message}` };
  }
  if (now?.id !== id) throw new KhwError("INVALID_RESPONSE", "the agent has no record of the upgrade that it started");
  if (now.state === AgentUpgradeState.AGENT_UPGRADE_STATE_DONE) return { reached: undefined };
  if (now.state === AgentUpgradeState.AGENT_UPGRADE_STATE_FAILED) {
    throw new KhwError("PACKAGE_FAILED", `khw-agent ${toVersion} is not installed: ${now.report}`, {
      hint: "fix this on the node, then run the command again; the previous agent is running",
    });
  }
  if (now.state === AgentUpgradeState.AGENT_UPGRADE_STATE_ROLLED_BACK) {
    throw new KhwError("POSTCONDITION_FAILED", `khw-agent ${now.fromVersion} is installed again: ${now.report}`, {
      hint: "no component was restarted; run khw-client events for the history",
    });
  }
  return { seen: `installing ${toVersion}` };
}

interface Send {
  readonly local: LocalPackage;
  readonly consent: UpgradeConsent;
  readonly checkOnly: boolean;
  readonly signal: AbortSignal;
}

async function send(node: AgentNode, { local, consent, checkOnly, signal }: Send): Promise<UpgradeAgentResponse> {
  const { size, sha256, read } = local;
  try {
    return await node.upgradeAgent({ size, sha256, checkOnly, ...consent }, read(), signal);
  } catch (thrown) {
    const error = toKhwError(thrown);
    if (!isUnknownCall(error)) throw error;
    throw new KhwError("PROGRAM_MISSING", "this agent cannot upgrade itself: it is too old for `agent upgrade`", {
      node: node.address.name,
      hint: "upgrade it once over ssh, with khw-client install --deb FILE",
    });
  }
}
