import { isIPv4 } from "node:net";
import type { RemovalServiceServer } from "../../proto/gen/khw/agent/v1/removal.ts";
import { refuse, show } from "../../proto/validate.ts";
import { removeOtherMember } from "../etcd/remove-member.ts";
import { holderOf, unary } from "./calls.ts";
import type { HandlerOptions } from "./handler-options.ts";

/** Handles the RPCs that undo a bootstrap and remove controllers. */
export function removalHandlers(options: HandlerOptions): RemovalServiceServer {
  const { node, signal } = options;
  return {
    reset: unary(options, async (request, call) => (await node()).resetter.reset(request, holderOf(call))),
    uninstall: unary(options, async ({ purge }) => {
      await (await node()).resetter.uninstall({ purge });
      return {};
    }),
    removeEtcdMember: unary(options, async ({ internalIp }, call) => {
      if (!isIPv4(internalIp)) refuse("internal_ip", `${show(internalIp)} is not an IPv4 address`);
      const { os, machineLock } = await node();
      const removed = await machineLock.lock(holderOf(call), () => removeOtherMember(os, { internalIp, signal }));
      return { removed };
    }),
  };
}
