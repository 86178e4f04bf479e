import { ownController, type DesiredState } from "../../proto/desired.ts";
import { KhwError } from "../../proto/errors.ts";
import type { Step } from "../../proto/step.ts";
import type { Os } from "../os/os.ts";

/**
 * Checks, by name and internal address, that the desired state is meant for this machine. On the wrong machine, no
 * further step is applied.
 */
export function identity(desired: DesiredState): Step<Os> {
  const { name, internalIp } = ownController(desired);
  return {
    id: "identity",
    title: `this is ${name} at ${internalIp}`,
    needs: [],
    check: async ({ identity: own }) => {
      if (own.name !== name) return { summary: `this machine is ${own.name}, not ${name}` };
      return own.internalIp === internalIp ? null : { summary: `its address is ${own.internalIp}, not ${internalIp}` };
    },
    apply: async ({ identity: own }) => {
      throw new KhwError(
        "IDENTITY_MISMATCH",
        `this machine is ${own.name} at ${own.internalIp}, not ${name} at ${internalIp}`,
        {
          hint: "fix the node's name or address in khw.yaml or --nodes",
        },
      );
    },
  };
}
