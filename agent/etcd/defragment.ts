import type { DefragmentResponse } from "../../proto/gen/khw/agent/v1/etcd.ts";
import type { Os } from "../os/os.ts";
import { localServer, readMember } from "./member.ts";

/** The member copies its whole database, and answers no requests meanwhile. */
const defragmentMillis = 300_000;

/** @throws KhwError NOT_READY if the member does not answer in time */
export async function defragment(
  { etcd, clock }: Pick<Os, "etcd" | "clock">,
  signal: AbortSignal,
): Promise<DefragmentResponse> {
  const { dbSize: sizeBefore } = await readMember(etcd, signal);
  const begun = clock.monotonic();
  const path = "/v3/maintenance/defragment";
  await etcd.post(localServer, { path, body: {}, signal, timeoutMillis: defragmentMillis });
  const durationMillis = Math.round(clock.monotonic() - begun);
  const { dbSize: sizeAfter } = await readMember(etcd, signal);
  return { sizeBefore, sizeAfter, durationMillis };
}
