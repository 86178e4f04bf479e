import type { ServerOptions } from "@grpc/grpc-js";
import type { Audit } from "../audit/audit.ts";
import { authorize } from "./authorize.ts";
import { limitCalls } from "./call-limits.ts";

interface ServerOptionsOptions {
  readonly audit: Audit;
  /** See AuthorizeOptions. */
  readonly answered?: () => void;
}

/** Returns server options that limit the cost of a connection and the time until a dead connection is noticed. */
export function serverOptions({ audit, answered = () => {} }: ServerOptionsOptions): ServerOptions {
  return {
    interceptors: [authorize({ audit, limits: limitCalls(), answered })],
    "grpc.max_concurrent_streams": 64,
    // The memory limit for one connection, in megabytes. It applies to headers, frames and queued data. grpc-js has no
    // limit by default.
    "grpc-node.max_session_memory": 16,
    // A peer that does not answer a ping within ten seconds is considered gone, and its streams are ended.
    "grpc.keepalive_time_ms": 20_000,
    "grpc.keepalive_timeout_ms": 10_000,
    // Even the largest desired state with all credentials is far smaller than this limit.
    "grpc.max_receive_message_length": 4 * 1024 * 1024,
    "grpc.enable_channelz": 0,
  };
}
