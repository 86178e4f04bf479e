import { parseCompleteState } from "../../proto/desired.ts";
import type { Event } from "../../proto/gen/khw/agent/v1/agent.ts";
import type { EtcdServiceServer, JoinEtcdRequest } from "../../proto/gen/khw/agent/v1/etcd.ts";
import { parseUuid, refuse } from "../../proto/validate.ts";
import { holderOf, streaming } from "./calls.ts";
import type { HandlerOptions } from "./handler-options.ts";
import { follow } from "./operations.ts";

/** Handles the RPC that makes this machine a new member of an existing etcd cluster. */
export function joinHandlers(options: HandlerOptions): Pick<EtcdServiceServer, "joinEtcd"> {
  return {
    joinEtcd: streaming<JoinEtcdRequest, Event>(options, async (call, gone) => {
      const { desired: state, operationId, clusterId } = call.request;
      const desired = parseCompleteState(state);
      if (desired.etcd === undefined) refuse("desired.etcd", "is missing, so khw does not manage etcd");
      const id = parseUuid("operation_id", operationId);
      const { operations } = await options.node();
      operations.start({ id, kind: "join", holder: holderOf(call), desired, clusterId: parseClusterId(clusterId) });
      await follow(operations, id, { call, gone, signal: options.signal });
    }),
  };
}

/** Returns the ID in decimal, as in etcd's API. */
function parseClusterId(hex: string): string {
  if (!/^[0-9a-f]{1,16}$/.test(hex)) refuse("cluster_id", "is not a hexadecimal ID of an etcd cluster");
  return BigInt(`0x${hex}`).toString();
}
