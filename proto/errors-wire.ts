import { Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { fromDetail, grpcStatus, type KhwError, toDetail } from "./errors.ts";
import { ErrorDetail } from "./gen/khw/agent/v1/agent.ts";

const trailer = "khw-error-bin";

/** Converts the error to a status and a message for grpc-js, with the full error detail in the trailer. */
export function toServiceError(error: KhwError): Partial<ServiceError> & { code: status } {
  const metadata = new Metadata();
  metadata.set(trailer, Buffer.from(ErrorDetail.encode(toDetail(error)).finish()));
  return { code: status[grpcStatus(error)], details: error.message, metadata };
}

/**
 * Returns the KhwError from the trailer of a failed call; undefined if the peer (or the transport) sent no error
 * detail.
 */
export function fromServiceError(error: { readonly metadata?: Metadata | null | undefined }): KhwError | undefined {
  const [detail] = error.metadata?.get(trailer) ?? [];
  return Buffer.isBuffer(detail) ? fromDetail(ErrorDetail.decode(detail)) : undefined;
}
