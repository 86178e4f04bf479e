import { Option } from "commander";
import type { CommandSpec } from "../command.ts";
import { balancing } from "./settings.ts";

/** The load balancer alone. */
export const loadBalancerCommands: readonly CommandSpec[] = [
  {
    path: ["lb", "create"],
    summary: "make the load balancer, or what is missing of it",
    examples: ["khw-client lb create --nodes controller-0,1,2 --create-address"],
    settings: balancing,
    run: async (call) => {
      const { lbCreate } = await import("../../commands/lb.ts");
      return lbCreate(await call.config(), call.context, { output: call.output });
    },
  },
  {
    path: ["lb", "status"],
    summary: "show its resources, and each backend as Google's health check sees it",
    settings: balancing,
    run: async (call) => {
      const { lbStatus } = await import("../../commands/lb.ts");
      return lbStatus(await call.config(), call.context, { output: call.output });
    },
  },
  {
    path: ["lb", "delete"],
    summary: "remove just these resources; the static address stays",
    settings: balancing,
    options: [new Option("--release-address", "give the static address back too")],
    run: async (call) => {
      const { lbDelete } = await import("../../commands/lb.ts");
      const options = { output: call.output, address: call.flag("releaseAddress") };
      return lbDelete(await call.config(), call.context, options);
    },
  },
];
