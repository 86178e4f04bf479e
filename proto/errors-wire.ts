import { Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { fromDetail, grpcStatus, type KhwError, toDetail } from "./errors.ts";
import { ErrorDetail } from "./gen/khw/agent/v1/agent.ts";

const trailer = "khw-error-bin";

/** Converts the error for grpc-js: status and message, with the whole detail in the trailer. */
export function toServiceError(error: KhwError): Partial<ServiceError> & { code: status } {
  const metadata = new Metadata();
  metadata.set(trailer, Buffer.from(ErrorDetail.encode(toDetail(error)).finish()));
  return { code: status[grpcStatus(error)], details: error.message, metadata };
}

/** Returns the KhwError in a failed call's trailer, or undefined if the peer (or the transport) sent no detail. */
export function fromServiceError(error: { readonly metadata?: Metadata | null | undefined }): KhwError | undefined {
  const [detail] = error.metadata?.get(trailer) ?? [];
  return Buffer.isBuffer(detail) ? fromDetail(ErrorDetail.decode(detail)) : undefined;
}
