import t from "tap";
import { fetchInfo } from "../../../../client/cluster/open.ts";
import packageJson from "../../../../package.json" with { type: "json" };
import { GetInfoResponse } from "../../../../proto/gen/khw/agent/v1/agent.ts";
import { createFakeCluster } from "../../../fakes/cluster.ts";

const { signal } = new AbortController();
const [major = 0, minor = 0] = packageJson.version.split(".").map(Number);

async function answer(agentVersion: string) {
  const [member] = (await createFakeCluster(["controller-0"])).members;
  if (member === undefined) throw new TypeError("no member");
  const node = { ...member.node, info: async () => GetInfoResponse.fromPartial({ agentVersion }) };
  const [found] = await fetchInfo([{ node }], signal);
  return found;
}

t.test("agents that are at most one minor version older or newer than the client are used", async (t) => {
  for (const version of [packageJson.version, `${major}.${minor + 1}.7`, `${major}.${Math.max(minor - 1, 0)}.0`]) {
    t.match(await answer(version), { info: { agentVersion: version }, error: undefined });
  }
});

t.test(
  "an agent that differs by more than one minor version causes an error that names the node and the remedy",
  async (t) => {
    const found = await answer(`${major}.${minor + 2}.0`);
    t.match(found, { error: { code: "VERSION_SKEW", node: "controller-0", hint: /^upgrade this client/ } });
    t.equal(found?.info, undefined);
  },
);
