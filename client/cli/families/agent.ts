import { Argument, Option } from "commander";
import type { CommandSpec } from "../command.ts";
import { reaching } from "./settings.ts";

/** Commands for the agents themselves. */
export const agentCommands: readonly CommandSpec[] = [
  {
    path: ["agent", "upgrade"],
    summary: "upgrade the agents over their own connections, one node at a time",
    details:
      "Needs no ssh. Every agent first checks the package's digest, name, architecture and version. If any agent rejects the package, nothing changes. Then each agent installs the package with apt. Components are not restarted. If the new agent does not answer a call from an administrator within a minute, systemd installs the previous package again. The first failure stops the command. Ctrl-C stops the command after the current node.",
    examples: [
      "khw-client agent upgrade --deb khw-agent_0.2.0_amd64.deb",
      "khw-client agent upgrade controller-1 --deb khw-agent_0.2.0_amd64.deb",
    ],
    arguments: [new Argument("[node...]", "nodes of the cluster, for example controller-0,1 (default: all)")],
    settings: reaching,
    options: [
      new Option("--deb <file>", "the agent's package file").makeOptionMandatory(),
      new Option("--allow-downgrade", "accept an older version"),
      new Option("--no-rollback", "upgrade even if the previous package is missing, and never roll back"),
    ],
    run: async (call) => {
      const { agentUpgrade } = await import("../../commands/agent-upgrade.ts");
      return agentUpgrade(await call.config(), call.context, {
        output: call.output,
        nodes: call.arguments,
        deb: call.text("deb"),
        allowDowngrade: call.flag("allowDowngrade"),
        noRollback: !call.flag("rollback"),
      });
    },
  },
];
