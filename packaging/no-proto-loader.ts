/**
 * Replaces @grpc/proto-loader in the bundles. grpc-js loads it only to serve channelz or ORCA metrics, which khw does
 * not; the loader and its protobufjs would cost megabytes of memory (docs/decisions/packaging.md).
 */
export function loadSync(): never {
  throw new Error("this bundle carries no @grpc/proto-loader: channelz and ORCA cannot be served");
}
