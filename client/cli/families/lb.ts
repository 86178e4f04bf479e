import { Option } from "commander";
import type { CommandSpec } from "../command.ts";
import { balancing } from "./settings.ts";

/** Commands that work only on the load balancer. */
export const loadBalancerCommands: readonly CommandSpec[] = [
  {
    path: ["lb", "create"],
    everyday: ["gce.createAddress"],
    summary: "create or repair the load balancer",
    examples: ["khw-client lb create --nodes controller-0,1,2 --create-address"],
    settings: balancing,
    run: async (call) => {
      const { lbCreate } = await import("../../commands/lb.ts");
      return lbCreate(await call.config(), call.context, { output: call.output });
    },
  },
  {
    path: ["lb", "status"],
    summary: "show the load balancer's resources and the health of each backend",
    settings: balancing,
    run: async (call) => {
      const { lbStatus } = await import("../../commands/lb.ts");
      return lbStatus(await call.config(), call.context, { output: call.output });
    },
  },
  {
    path: ["lb", "delete"],
    summary: "delete the load balancer; the static address is kept",
    settings: balancing,
    options: [new Option("--release-address", "also release the static address")],
    run: async (call) => {
      const { lbDelete } = await import("../../commands/lb.ts");
      const options = { output: call.output, address: call.flag("releaseAddress") };
      return lbDelete(await call.config(), call.context, options);
    },
  },
];
