import t from "tap";
import { upgradeNode } from "../../../../client/agent-upgrade/upgrade-node.ts";
import type { AgentNode } from "../../../../client/cluster/agent-client.ts";
import { KhwError } from "../../../../proto/errors.ts";
import {
  AgentUpgrade,
  AgentUpgradeState,
  GetStatusResponse,
  UpgradeAgentOutcome,
} from "../../../../proto/gen/khw/agent/v1/agent.ts";
import { createFakeCluster } from "../../../fakes/cluster.ts";
import { createFakeClock } from "../../../fakes/os.ts";

const { signal } = new AbortController();
const begun = AgentUpgrade.fromPartial({
  id: "u",
  fromVersion: "0.1.0",
  toVersion: "0.2.0",
  state: AgentUpgradeState.AGENT_UPGRADE_STATE_RUNNING,
});
const local = { path: "a.deb", size: 1, sha256: "", read: async function* () {} };
const consent = { allowDowngrade: false, noRollback: false };

/** Creates a fake agent that answers each call with the next status from the list, and then repeats the last status. */
async function agent(...answers: readonly (AgentUpgrade | KhwError | undefined)[]): Promise<AgentNode> {
  const [member] = (await createFakeCluster(["controller-0"])).members;
  if (member === undefined) throw new TypeError("no member");
  const left = [...answers];
  return {
    ...member.node,
    info: async () => ({ agentVersion: "0.1.0", identity: undefined, architecture: "amd64", clockUnixMillis: 0 }),
    upgradeAgent: async () => ({
      outcome: UpgradeAgentOutcome.UPGRADE_AGENT_OUTCOME_STARTED,
      fromVersion: "0.1.0",
      toVersion: "0.2.0",
      upgrade: begun,
    }),
    status: async () => {
      const next = left.length > 1 ? left.shift() : left[0];
      if (next instanceof KhwError) throw next;
      return GetStatusResponse.fromPartial({ agentUpgrade: next });
    },
  };
}

const run = async (node: AgentNode): Promise<string[]> => {
  const seen: string[] = [];
  await upgradeNode(node, { local, consent, progress: (text) => seen.push(text), signal, clock: createFakeClock() });
  return seen;
};

const away = new KhwError("UNREACHABLE", "no connection");

t.test(
  "an agent upgrade ends when the agent reports that it is done, and an earlier restart is not a failure",
  async (t) => {
    const done = { ...begun, state: AgentUpgradeState.AGENT_UPGRADE_STATE_DONE };
    t.match(await run(await agent(begun, away, away, begun, done)), [/^installing 0\.2\.0$/, /no connection/]);
  },
);

t.test("a failed or rolled back agent upgrade causes an error that states the agent's reason", async (t) => {
  const report = "E: Held packages";
  const failed = { ...begun, state: AgentUpgradeState.AGENT_UPGRADE_STATE_FAILED, report };
  await t.rejects(run(await agent(failed)), { code: "PACKAGE_FAILED", message: /0\.2\.0 is not installed: E: Held/ });
  const back = { ...begun, state: AgentUpgradeState.AGENT_UPGRADE_STATE_ROLLED_BACK, report: "no answer" };
  const error = { code: "POSTCONDITION_FAILED", message: /0\.1\.0 is installed again: no answer/ };
  await t.rejects(run(await agent(away, back)), error);
});

t.test("an agent that never responds, or no longer knows about the upgrade, causes an error", async (t) => {
  await t.rejects(run(await agent(away)), { code: "UNREACHABLE", message: /0\.2\.0 does not answer.*2100 s/ });
  await t.rejects(run(await agent(undefined)), { code: "INVALID_RESPONSE" });
  await t.rejects(run(await agent({ ...begun, id: "other" })), { code: "INVALID_RESPONSE" });
});
