/**
 * Replaces @grpc/proto-loader in the bundles. grpc-js loads it only to serve channelz or ORCA metrics, and khw serves
 * neither. The loader and its protobufjs would cost megabytes of memory (docs/decisions/packaging.md).
 */
export function loadSync(): never {
  throw new Error("this bundle does not contain @grpc/proto-loader, so channelz and ORCA cannot be served");
}
