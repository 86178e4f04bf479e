import { Metadata } from "@grpc/grpc-js";
import { KhwError } from "../../proto/errors.ts";
import type { Event } from "../../proto/gen/khw/agent/v1/agent.ts";
import type {
  AdvanceRestoreRequest,
  AdvanceRestoreResponse,
  DefragmentResponse,
  EtcdServiceClient,
  GetEtcdStatusResponse,
  JoinEtcdRequest,
  ListSnapshotsResponse,
  ReadSnapshotResponse,
  Restore,
  Snapshot,
  WriteSnapshotRequest,
  WriteSnapshotResponse,
} from "../../proto/gen/khw/agent/v1/etcd.ts";
import type { ClientCalls } from "./calls.ts";
import { upload } from "./upload.ts";

/**
 * The calls to an agent that concern the etcd member on its machine. Every failure is a KhwError with the node's name.
 */
export interface EtcdCalls {
  status(signal: AbortSignal): Promise<GetEtcdStatusResponse>;
  /** @param purpose see Snapshot.purpose */
  save(signal: AbortSignal, purpose?: string): Promise<Snapshot>;
  list(signal: AbortSignal): Promise<ListSnapshotsResponse>;
  verify(id: string, signal: AbortSignal): Promise<Snapshot>;
  read(id: string, signal: AbortSignal): AsyncIterable<Uint8Array>;
  /** @param announced at least the snapshot's id, size and digest */
  write(announced: Snapshot, chunks: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<Snapshot>;
  advance(request: AdvanceRestoreRequest, signal: AbortSignal): Promise<Restore>;
  defragment(signal: AbortSignal): Promise<DefragmentResponse>;
  /** Makes the machine a member of an existing cluster. Yields the operation's events, up to the last one. */
  join(request: JoinEtcdRequest, signal: AbortSignal): AsyncIterable<Event>;
}

const millis = {
  status: 15_000,
  list: 30_000,
  /** A large database must be saved, restored for verification, and uploaded. */
  save: 900_000,
  /** A phase that waits for etcd's quorum and for the API server gives up before this limit. */
  advance: 600_000,
  defragment: 330_000,
};

/** Returns the calls, which share the connection with the agent's other services. */
export function etcdCalls(client: EtcdServiceClient, { call, messages, explain }: ClientCalls): EtcdCalls {
  const none = (): Metadata => new Metadata();
  return {
    status: (signal) =>
      call<GetEtcdStatusResponse>(millis.status, signal, (options, done) =>
        client.getEtcdStatus({}, none(), options, done),
      ),
    save: async (signal, purpose = "") =>
      present(
        (
          await call<{ snapshot?: Snapshot | undefined }>(millis.save, signal, (options, done) =>
            client.saveSnapshot({ purpose }, none(), options, done),
          )
        ).snapshot,
      ),
    list: (signal) =>
      call<ListSnapshotsResponse>(millis.list, signal, (options, done) =>
        client.listSnapshots({}, none(), options, done),
      ),
    verify: async (id, signal) =>
      present(
        (
          await call<{ snapshot?: Snapshot | undefined }>(millis.save, signal, (options, done) =>
            client.verifySnapshot({ id }, none(), options, done),
          )
        ).snapshot,
      ),
    read: async function* (id, signal) {
      for await (const { chunk } of messages<ReadSnapshotResponse>(client.readSnapshot({ id }), signal)) yield chunk;
    },
    write: async (announced, chunks, signal) => {
      const { snapshot } = await upload<WriteSnapshotRequest, WriteSnapshotResponse>({
        begin: (options, done) => client.writeSnapshot(none(), options, done),
        first: { part: { $case: "snapshot", value: announced } },
        toMessage: (chunk) => ({ part: { $case: "chunk", value: chunk } }),
        chunks,
        timeoutMillis: millis.save,
        signal,
      }).catch(explain);
      return present(snapshot);
    },
    advance: async (request, signal) =>
      present(
        (
          await call<AdvanceRestoreResponse>(millis.advance, signal, (options, done) =>
            client.advanceRestore(request, none(), options, done),
          )
        ).restore,
      ),
    defragment: (signal) =>
      call<DefragmentResponse>(millis.defragment, signal, (options, done) =>
        client.defragment({}, none(), options, done),
      ),
    join: (request, signal) => messages(client.joinEtcd(request), signal),
  };
}

function present<T>(value: T | undefined): T {
  if (value === undefined) {
    throw new KhwError("INVALID_RESPONSE", "the agent's answer is empty", {
      hint: "run khw-client doctor to compare the releases of the agent and this client",
    });
  }
  return value;
}
