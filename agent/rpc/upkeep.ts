import type { AgentServiceServer } from "../../proto/gen/khw/agent/v1/agent.ts";
import { refuse, show } from "../../proto/validate.ts";
import { readHardening } from "../hardening/hardening.ts";
import { healthChecks } from "../health/health.ts";
import { coalesce } from "../os/coalesce.ts";
import { holderOf, unary } from "./calls.ts";
import type { HandlerOptions } from "./handler-options.ts";

/** Handles the RPCs for a machine that is already a controller. */
export function upkeepHandlers(
  options: HandlerOptions,
): Pick<AgentServiceServer, "getPlan" | "getHardening" | "restartComponent" | "setMaintenance" | "recordUpgrade"> {
  const { node, signal } = options;
  const plan = coalesce(async () => (await node()).reconciler.plan(signal));
  const hardening = coalesce(async () => readHardening((await node()).os));
  return {
    getPlan: unary(options, () => plan()),
    getHardening: unary(options, () => hardening()),
    restartComponent: unary(options, async ({ component, reason }, call) => {
      const name = parseComponentName(component);
      const { supervisor, machineLock } = await node();
      const holder = holderOf(call);
      const durationMillis = await machineLock.lock(holder, () =>
        supervisor.restart(name, { reason: `${holder}${reason === "" ? "" : `: ${reason}`}`, signal }),
      );
      return { durationMillis: Math.round(durationMillis) };
    }),
    setMaintenance: unary(options, async ({ drained, reason }, call) => {
      const { maintenance } = await node();
      return { maintenance: await maintenance.set({ drained, holder: holderOf(call), reason }) };
    }),
    recordUpgrade: unary(options, async ({ upgrade }, call) => {
      const { upgradeRecord } = await node();
      return { upgrade: await upgradeRecord.save(upgrade, holderOf(call)) };
    }),
  };
}

function parseComponentName(name: string): string {
  const known = healthChecks.map(({ component }) => component);
  return known.includes(name)
    ? name
    : refuse("component", `${show(name)} is not a component`, `use one of ${known.join(", ")}`);
}
