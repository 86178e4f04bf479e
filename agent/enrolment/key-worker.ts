/**
 * The program that generates keys and signing requests for the agent. child-process.ts starts it. The program answers a
 * single message over Node's IPC channel and then exits.
 */
import { toDetail, toKhwError } from "../../proto/errors.ts";
import type { ErrorDetail } from "../../proto/gen/khw/agent/v1/agent.ts";
import type { IdentityPaths } from "../certificates/next.ts";
import { type KeyProof, proveKey } from "./request.ts";

export interface KeyOrder {
  readonly paths: IdentityPaths;
  readonly name: string;
}

export type KeyReply = { readonly proof: KeyProof } | { readonly error: ErrorDetail };

process.once("message", ({ paths, name }: KeyOrder) => {
  const reply = (reply: KeyReply): void => void process.send?.(reply, () => process.disconnect());
  proveKey(paths, name).then(
    (proof) => reply({ proof }),
    (error: unknown) => reply({ error: toDetail(toKhwError(error)) }),
  );
});
