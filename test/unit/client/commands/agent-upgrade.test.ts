import t from "tap";
import { upgradeAgents } from "../../../../client/commands/agent-upgrade.ts";
import type { AgentNode } from "../../../../client/cluster/agent-client.ts";
import { KhwError } from "../../../../proto/errors.ts";
import {
  AgentUpgrade,
  AgentUpgradeState,
  GetStatusResponse,
  UpgradeAgentOutcome,
} from "../../../../proto/gen/khw/agent/v1/agent.ts";
import { createFakeCluster } from "../../../fakes/cluster.ts";

const names = ["controller-0", "controller-1", "controller-2"];
const local = { path: "khw-agent.deb", size: 1, sha256: "", read: async function* () {} };
const { UPGRADE_AGENT_OUTCOME_CHECKED, UPGRADE_AGENT_OUTCOME_STARTED, UPGRADE_AGENT_OUTCOME_UNCHANGED } =
  UpgradeAgentOutcome;

interface Behaviour {
  /** The result of the package check. If it is absent, the package passes. */
  readonly check?: KhwError | typeof UPGRADE_AGENT_OUTCOME_UNCHANGED;
  /** The state in which the upgrade ends. */
  readonly end?: AgentUpgradeState;
}

/** Creates three fake agents that upgrade themselves immediately. */
async function cluster(behaviours: Readonly<Record<string, Behaviour>> = {}) {
  const log: string[] = [];
  const agentOf = (node: AgentNode): AgentNode => {
    const { name } = node.address;
    const { check, end = AgentUpgradeState.AGENT_UPGRADE_STATE_DONE } = behaviours[name] ?? {};
    const versions = { fromVersion: "0.1.0", toVersion: "0.2.0", upgrade: undefined };
    const upgrade = AgentUpgrade.fromPartial({ id: name, ...versions, state: end, report: "it did not answer" });
    return {
      ...node,
      info: async () => ({ agentVersion: "0.2.0", identity: undefined, architecture: "amd64", clockUnixMillis: 0 }),
      upgradeAgent: async ({ checkOnly }) => {
        log.push(`${name} ${checkOnly ? "checks" : "begins"}`);
        if (check instanceof KhwError) throw check;
        if (check !== undefined) return { ...versions, outcome: check };
        if (checkOnly) return { ...versions, outcome: UPGRADE_AGENT_OUTCOME_CHECKED };
        return { ...versions, outcome: UPGRADE_AGENT_OUTCOME_STARTED, upgrade };
      },
      status: async () => GetStatusResponse.fromPartial({ agentUpgrade: upgrade }),
    };
  };
  const { members } = await createFakeCluster(names);
  return { log, members: members.map(({ node }) => ({ node: agentOf(node) })) };
}

async function run(members: Awaited<ReturnType<typeof cluster>>["members"], nodes: readonly string[] = []) {
  let out = "";
  const context = {
    write: (text: string) => void (out += text),
    warn: (text: string) => void (out += text),
    terminal: false,
    env: {},
    signal: new AbortController().signal,
  };
  const options = { output: "text", nodes, local, allowDowngrade: false, noRollback: false } as const;
  const code = await upgradeAgents({ members }, context, options);
  return { code, out };
}

t.test("every agent checks the package before the first agent is upgraded", async (t) => {
  const { members, log } = await cluster();
  const { code, out } = await run(members);
  t.equal(code, 0);
  t.strictSame(log, [...names.map((name) => `${name} checks`), ...names.map((name) => `${name} begins`)]);
  t.match(out, /khw-agent 0\.1\.0 is upgraded to 0\.2\.0/);
});

t.test("if one agent refuses the package, no agent is upgraded, and every refusal is reported", async (t) => {
  const refusal = new KhwError("RELEASE_REFUSED", "there is no way back", { hint: "--no-rollback" });
  const { members, log } = await cluster({ "controller-1": { check: refusal }, "controller-2": { check: refusal } });
  await t.rejects(run(members), {
    code: "RELEASE_REFUSED",
    message: /nothing was changed:\n.*controller-1, controller-2: there is no way back \(--no-rollback\)/,
  });
  t.notOk(log.some((line) => line.endsWith("begins")));
});

t.test("the first failed upgrade stops the command", async (t) => {
  const { members, log } = await cluster({
    "controller-1": { end: AgentUpgradeState.AGENT_UPGRADE_STATE_ROLLED_BACK },
  });
  const message =
    /controller-1: khw-agent: khw-agent 0\.1\.0 is installed again: it did not answer[^]*controller-2: skipped/;
  await t.rejects(run(members), { code: "PARTIAL", message });
  t.notOk(log.includes("controller-2 begins"));
});

t.test("an agent that already has the package is not upgraded again", async (t) => {
  const { members, log } = await cluster({ "controller-0": { check: UPGRADE_AGENT_OUTCOME_UNCHANGED } });
  const { code, out } = await run(members);
  t.equal(code, 0);
  t.match(out, /controller-0: khw-agent 0\.2\.0 is already installed/);
  t.notOk(log.includes("controller-0 begins"));
  const same = { check: UPGRADE_AGENT_OUTCOME_UNCHANGED };
  const all = await cluster({ "controller-0": same, "controller-1": same, "controller-2": same });
  t.match(await run(all.members), { code: 0, out: /every agent already has this version/ });
});

t.test("only the given nodes are upgraded", async (t) => {
  const { members, log } = await cluster();
  t.equal((await run(members, ["controller-2"])).code, 0);
  t.strictSame(log, ["controller-2 checks", "controller-2 begins"]);
  await t.rejects(run(members, ["controller-9"]), { code: "INVALID_ARGUMENT" });
});

t.test("an agent that is too old for this call is reported with instructions to upgrade it", async (t) => {
  // The error that a server returns for a call that it does not know.
  const cause = Object.assign(new Error("unknown method"), { code: 12, details: "", metadata: {} });
  const check = new KhwError("INTERNAL", "the agent does not know this call", { cause });
  const { members } = await cluster({ "controller-0": { check } });
  await t.rejects(run(members), { code: "PROGRAM_MISSING", hint: /khw-client install --deb/, node: "controller-0" });
});
