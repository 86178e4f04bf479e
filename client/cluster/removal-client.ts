import { Metadata } from "@grpc/grpc-js";
import type {
  RemovalServiceClient,
  RemoveEtcdMemberResponse,
  ResetRequest,
  ResetResponse,
  UninstallResponse,
} from "../../proto/gen/khw/agent/v1/removal.ts";
import type { ClientCalls } from "./calls.ts";

/**
 * The calls to an agent that undo a bootstrap or remove a controller. Every failure is a KhwError with the node's name.
 */
export interface RemovalCalls {
  reset(request: ResetRequest, signal: AbortSignal): Promise<ResetResponse>;
  /** Starts the removal of the agent's package. */
  uninstall(options: { readonly purge: boolean }, signal: AbortSignal): Promise<void>;
  /** Removes the etcd member at this internal address. Returns false if the cluster has no such member. */
  removeEtcdMember(internalIp: string, signal: AbortSignal): Promise<boolean>;
}

const millis = {
  /** Services take time to stop, and apt may wait for another process that holds its lock. */
  reset: 900_000,
  uninstall: 60_000,
  removeEtcdMember: 60_000,
};

/** Returns the calls, which share the connection with the agent's other services. */
export function removalCalls(client: RemovalServiceClient, { call }: Pick<ClientCalls, "call">): RemovalCalls {
  const none = (): Metadata => new Metadata();
  return {
    reset: (request, signal) =>
      call<ResetResponse>(millis.reset, signal, (options, done) => client.reset(request, none(), options, done)),
    uninstall: async (request, signal) => {
      await call<UninstallResponse>(millis.uninstall, signal, (options, done) =>
        client.uninstall({ ...request }, none(), options, done),
      );
    },
    removeEtcdMember: async (internalIp, signal) =>
      (
        await call<RemoveEtcdMemberResponse>(millis.removeEtcdMember, signal, (options, done) =>
          client.removeEtcdMember({ internalIp }, none(), options, done),
        )
      ).removed,
  };
}
