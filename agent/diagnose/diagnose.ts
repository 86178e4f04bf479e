import { formatError, toKhwError } from "../../proto/errors.ts";
import type { Diagnosis } from "../../proto/gen/khw/agent/v1/agent.ts";
import type { Os } from "../os/os.ts";
import { look } from "./look.ts";
import { match, unknownCause } from "./match.ts";

/**
 * Determines why a unit does not stay up, from its journal and its state in systemd. Never rejects: if the reason is
 * unclear, the cause is "unknown".
 */
export async function diagnose(component: string, unit: string, os: Os): Promise<Diagnosis> {
  try {
    return match(await look(component, unit, os));
  } catch (error) {
    const why = formatError(toKhwError(error));
    return {
      cause: unknownCause,
      message: `${component} does not stay up, and the cause cannot be determined: ${why}`,
      remedy: "",
      lines: [],
    };
  }
}
