import { KhwError } from "../../proto/errors.ts";
import { show } from "../../proto/validate.ts";
import { type Fields, number, textField } from "./fields.ts";
import type { Http } from "./http.ts";
import { pathOf } from "./references.ts";
import { operationRefusal, computeError } from "./refusal.ts";
import { pause } from "../../proto/wait-for.ts";

export interface WaitOptions {
  /** The operation's purpose, for messages. */
  readonly what: string;
  /** The path of the resource that is being changed. */
  readonly path: string;
  readonly deadlineMillis: number;
  readonly signal: AbortSignal;
}

/** The time limit for a call to `wait`, which blocks for up to two minutes. */
const waitMillis = 150_000;

/** Prevents a busy loop if `wait` returns immediately even though the operation is not done. */
const shortestWaitMillis = 200;

/**
 * Waits until the operation for a change is done.
 * @throws KhwError COMPUTE_FAILED with the operation's own code and message; TIMEOUT with its last state
 */
export async function awaitOperation(http: Http, started: Fields, options: WaitOptions): Promise<void> {
  const { what, path, deadlineMillis, signal } = options;
  const wait = `${operationPath(started)}/wait`;
  const deadline = performance.now() + deadlineMillis;
  let operation = started;
  while (textField(operation, "status") !== "DONE") {
    const left = deadline - performance.now();
    if (left <= 0) throw unfinished(what, operation, deadlineMillis);
    const asked = performance.now();
    const timeoutMillis = Math.min(waitMillis, Math.max(left, 1000));
    operation = await http.send({ method: "POST", path: wait, what: `wait for ${what}`, timeoutMillis }, signal);
    const rest = shortestWaitMillis - (performance.now() - asked);
    if (textField(operation, "status") !== "DONE" && rest > 0) await pause(rest, signal);
  }
  const refusal = operationRefusal(operation);
  if (refusal !== undefined) throw computeError(what, path, refusal);
}

function operationPath(operation: Fields): string {
  const path = pathOf(textField(operation, "selfLink"));
  if (/^projects\/[\w.:-]+\/(global|(regions|zones)\/[\w-]+)\/operations\/[\w-]+$/.test(path)) return path;
  throw new KhwError("COMPUTE_FAILED", `the answer is not an operation: its selfLink is ${show(path)}`, {
    hint: "check that gce.endpoint is the URL of the Compute Engine API, version 1",
  });
}

function unfinished(what: string, operation: Fields, deadlineMillis: number): KhwError {
  const seen = `${textField(operation, "status")}, ${number(operation, "progress")} %`;
  const name = textField(operation, "name");
  return new KhwError("TIMEOUT", `${what}: operation ${name} is still ${seen} after ${deadlineMillis / 1000} s`, {
    hint: "Google continues the operation; run the command again to see the result",
  });
}
