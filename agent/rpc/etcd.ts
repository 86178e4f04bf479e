import type { ServerReadableStream, ServerWritableStream } from "@grpc/grpc-js";
import {
  type EtcdServiceServer,
  type ReadSnapshotRequest,
  type ReadSnapshotResponse,
  type Snapshot,
  type WriteSnapshotRequest,
  type WriteSnapshotResponse,
} from "../../proto/gen/khw/agent/v1/etcd.ts";
import { oneLine } from "../../proto/sanitize.ts";
import { refuse } from "../../proto/validate.ts";
import { holderOf, receiving, send, streaming, unary } from "./calls.ts";
import type { HandlerOptions } from "./handler-options.ts";
import { joinHandlers } from "./join.ts";

/** Handles the RPCs for the etcd member on this machine. */
export function etcdHandlers(options: HandlerOptions): EtcdServiceServer {
  const { signal } = options;
  const etcd = async () => (await options.node()).etcd;
  return {
    getEtcdStatus: unary(options, async () => (await etcd()).status(signal)),
    saveSnapshot: unary(options, async ({ purpose }, call) => {
      const snapshot = await (await etcd()).saveSnapshot(holderOf(call), parsePurpose(purpose));
      return { snapshot };
    }),
    listSnapshots: unary(options, async () => {
      const { snapshots, schedule } = await etcd();
      return { snapshots: await snapshots.list(), lastRun: schedule.lastRun() };
    }),
    verifySnapshot: unary(options, async ({ id }) => ({ snapshot: await (await etcd()).snapshots.verify(id, signal) })),
    readSnapshot: streaming(
      options,
      async (call: ServerWritableStream<ReadSnapshotRequest, ReadSnapshotResponse>, gone) => {
        for await (const chunk of await (await etcd()).snapshots.read(call.request.id))
          await send(call, { chunk }, gone);
      },
    ),
    writeSnapshot: receiving(
      options,
      async (call: ServerReadableStream<WriteSnapshotRequest, WriteSnapshotResponse>, gone) => {
        const parts: AsyncIterator<WriteSnapshotRequest> = call[Symbol.asyncIterator]();
        const announced = await announcement(parts);
        return { snapshot: await (await etcd()).snapshots.receive(announced, chunks(parts), gone) };
      },
    ),
    advanceRestore: unary(options, async (request, call) => ({
      restore: await (await etcd()).advanceRestore(request, holderOf(call)),
    })),
    defragment: unary(options, async (_, call) => (await etcd()).defragment(holderOf(call))),
    ...joinHandlers(options),
  };
}

function parsePurpose(purpose: string): string {
  if (purpose.length > 100) refuse("purpose", "is longer than 100 characters");
  return oneLine(purpose);
}

async function announcement(parts: AsyncIterator<WriteSnapshotRequest>): Promise<Snapshot> {
  const { value, done } = await parts.next();
  if (done === true || value.part?.$case !== "snapshot")
    return refuse("snapshot", "must be described in the first message, before its bytes");
  return value.part.value;
}

async function* chunks(parts: AsyncIterator<WriteSnapshotRequest>): AsyncGenerator<Uint8Array> {
  for (;;) {
    const { value, done } = await parts.next();
    if (done === true) return;
    if (value.part?.$case !== "chunk") refuse("chunk", "is missing");
    else yield value.part.value;
  }
}
