import { Option } from "commander";
import type { CommandSpec } from "../command.ts";

/** Commands that install the agent's package on machines. */
export const installCommands: readonly CommandSpec[] = [
  {
    path: ["install"],
    summary: "install the agent's package and certificate on every node, over ssh",
    examples: [
      "khw-client install --nodes controller-0,1,2 --deb khw-agent_0.1.0_amd64.deb",
      "khw-client install --nodes a=192.0.2.1 --ssh-user debian --deb khw-agent_0.1.0_amd64.deb",
    ],
    settings: [
      "nodes",
      "management.ca",
      "enrolment.days",
      "gce.project",
      "gce.zone",
      "gce.nodeAddresses",
      "timeouts.node",
    ],
    everyday: ["enrolment.days", "gce.nodeAddresses"],
    options: [
      new Option("--deb <file>", "the agent's package file").makeOptionMandatory(),
      new Option(
        "--via <way>",
        "how to reach the nodes (default: ssh if every node has a host, otherwise gcloud)",
      ).choices(["gcloud", "ssh"]),
      new Option("--ssh-user <name>", "user name on the nodes"),
      new Option("--ssh-option <key=value>", "additional ssh option; may be repeated").argParser(appendItem),
    ],
    run: async (call) => {
      const { install } = await import("../../commands/install.ts");
      return install(await call.config(), call.context, {
        deb: call.text("deb"),
        via: call.text("via") || undefined,
        sshUser: call.text("sshUser") || undefined,
        sshOptions: call.texts("sshOption"),
      });
    },
  },
];

/** Collects the values of an option that may be repeated. */
function appendItem(item: string, items: unknown): readonly string[] {
  return [...(Array.isArray(items) ? items.map(String) : []), item];
}
