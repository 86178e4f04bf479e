import { Metadata, type ServiceError } from "@grpc/grpc-js";
import { KhwError, toKhwError } from "../../proto/errors.ts";
import type {
  AdvanceRestoreRequest,
  AdvanceRestoreResponse,
  DefragmentResponse,
  EtcdServiceClient,
  GetEtcdStatusResponse,
  ListSnapshotsResponse,
  ReadSnapshotResponse,
  Restore,
  Snapshot,
} from "../../proto/gen/khw/agent/v1/etcd.ts";
import type { ClientCalls } from "./calls.ts";

/** An agent's calls for the etcd member on its machine. Every failure is a KhwError that names the node. */
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
}

const millis = {
  status: 15_000,
  list: 30_000,
  /** A large database is saved, restored for the verification, and uploaded. */
  save: 900_000,
  /** A phase that waits for etcd's quorum and the API server gives up before this limit. */
  advance: 600_000,
  defragment: 330_000,
};

/** Uses the connection of the agent's other services. */
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
    write: (announced, chunks, signal) => write(client, { announced, chunks, signal }).catch(explain),
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
  };
}

interface Write {
  readonly announced: Snapshot;
  readonly chunks: AsyncIterable<Uint8Array>;
  readonly signal: AbortSignal;
}

/** Sends as fast as the agent reads. The agent may answer before everything is sent; its answer counts. */
function write(client: EtcdServiceClient, { announced, chunks, signal }: Write): Promise<Snapshot> {
  return new Promise((resolve, reject) => {
    const answered = new AbortController();
    const options = { deadline: Date.now() + millis.save };
    const stream = client.writeSnapshot(new Metadata(), options, (error: ServiceError | null, response) => {
      answered.abort();
      signal.removeEventListener("abort", cancel);
      if (error !== null) reject(error);
      else resolve(present(response.snapshot));
    });
    const cancel = (): void => stream.cancel();
    signal.addEventListener("abort", cancel, { once: true });
    const send = async (): Promise<void> => {
      stream.write({ part: { $case: "snapshot", value: announced } });
      for await (const chunk of chunks) {
        if (answered.signal.aborted) return;
        const taken = stream.write({ part: { $case: "chunk", value: Buffer.from(chunk) } });
        if (!taken) await drained(stream, answered.signal);
      }
      stream.end();
    };
    send().catch((error: unknown) => {
      // If the agent has answered, its answer is more useful.
      reject(toKhwError(error));
      stream.cancel();
    });
  });
}

/** Resolves when more can be sent, or when the call has ended. */
function drained(stream: NodeJS.EventEmitter, answered: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (answered.aborted) return resolve();
    const done = (): void => {
      stream.off("drain", done);
      answered.removeEventListener("abort", done);
      resolve();
    };
    stream.once("drain", done);
    answered.addEventListener("abort", done, { once: true });
  });
}

function present<T>(value: T | undefined): T {
  if (value === undefined) {
    throw new KhwError("INVALID_RESPONSE", "the agent's answer is empty", {
      hint: "run khw-client doctor: it compares the releases of the agent and of this client",
    });
  }
  return value;
}
