import type { ServerReadableStream } from "@grpc/grpc-js";
import type {
  AgentPackage,
  AgentServiceServer,
  UpgradeAgentRequest,
  UpgradeAgentResponse,
} from "../../proto/gen/khw/agent/v1/agent.ts";
import { refuse } from "../../proto/validate.ts";
import { untilGone } from "./until-gone.ts";
import { holderOf, receiving } from "./calls.ts";
import type { HandlerOptions } from "./handler-options.ts";

/** Handles the RPC that upgrades the agent itself. */
export function agentUpgradeHandlers(options: HandlerOptions): Pick<AgentServiceServer, "upgradeAgent"> {
  return {
    upgradeAgent: receiving(
      options,
      async (call: ServerReadableStream<UpgradeAgentRequest, UpgradeAgentResponse>, gone) => {
        const { agentUpgrades } = await options.node();
        const parts = untilGone(call, gone);
        const announced = await announcement(parts);
        return agentUpgrades.upgrade(announced, chunks(parts), { holder: holderOf(call), gone });
      },
    ),
  };
}

async function announcement(parts: AsyncIterator<UpgradeAgentRequest>): Promise<AgentPackage> {
  const { value, done } = await parts.next();
  if (done === true || value.part?.$case !== "package")
    return refuse("package", "must be described in the first message, before its bytes");
  return value.part.value;
}

async function* chunks(parts: AsyncIterator<UpgradeAgentRequest>): AsyncGenerator<Uint8Array> {
  for (;;) {
    const { value, done } = await parts.next();
    if (done === true) return;
    if (value.part?.$case !== "chunk") refuse("chunk", "is missing");
    else yield value.part.value;
  }
}
