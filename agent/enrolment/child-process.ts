import { fork } from "node:child_process";
import { extname } from "node:path";
import { fromDetail, KhwError } from "../../proto/errors.ts";
import type { IdentityPaths } from "../certificates/next.ts";
import type { KeyProof } from "./request.ts";
import type { KeyOrder, KeyReply } from "./key-worker.ts";

/** The program is in the same folder as this module, both in the sources and in the bundle. */
const program = new URL(`key-worker${extname(import.meta.filename)}`, import.meta.url);

const deadlineMillis = 30_000;

/**
 * Runs `proveKey` (request.ts) in a child process, which exits after its reply. Otherwise the X.509 library would stay
 * in the agent's memory, although it is needed only once every few months.
 * @throws KhwError as `proveKey` does; TIMEOUT
 */
export async function proveKeyInChildProcess(
  paths: IdentityPaths,
  name: string,
  signal: AbortSignal,
): Promise<KeyProof> {
  const child = fork(program, { stdio: ["ignore", "inherit", "inherit", "ipc"] });
  const limit = AbortSignal.any([signal, AbortSignal.timeout(deadlineMillis)]);
  const question: KeyOrder = { paths, name };
  try {
    const reply = await new Promise<KeyReply>((resolve, reject) => {
      const fail = (why: string): void =>
        reject(new KhwError("INTERNAL", `the process that generates keys and requests exited: ${why}`));
      child.once("message", (reply: KeyReply) => resolve(reply));
      child.once("error", reject);
      child.once("exit", (code, by) => fail(by ?? `exit status ${code}`));
      limit.addEventListener("abort", () => reject(signal.aborted ? signal.reason : late()), { once: true });
      child.send(question, (error) => error !== null && fail(error.message));
    });
    if ("error" in reply) throw fromDetail(reply.error);
    return reply.proof;
  } finally {
    if (child.exitCode === null && child.signalCode === null && limit.aborted) child.kill("SIGKILL");
  }
}

function late(): KhwError {
  return new KhwError("TIMEOUT", `no signing request was made within ${deadlineMillis / 1000} s`, {
    hint: "run the command again; if this happens again, check the machine's load",
  });
}
