import { spawn } from "node:child_process";
import { KhwError } from "../../proto/errors.ts";

export interface GateOptions {
  /** Variables that are added to the command's environment. */
  readonly variables: Readonly<Record<string, string>>;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
}

const longestOutput = 2000;

/**
 * Runs the --gate command in a shell on this workstation. Returns its output, or the last part of a long output.
 * @throws KhwError VERIFY_FAILED with the output if the exit code is not 0
 */
export async function runGate(command: string, { variables, env, signal }: GateOptions): Promise<string> {
  const child = spawn("/bin/sh", ["-c", command], {
    env: { ...env, ...variables },
    stdio: ["ignore", "pipe", "pipe"],
    signal,
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      output = `${output}${text}`.slice(-longestOutput);
    });
  }
  const ended = await new Promise<string>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, by) => resolve(code === null ? `signal ${by ?? "?"}` : String(code)));
  });
  const text = output.trim();
  if (ended === "0") return text;
  const said = text === "" ? "it printed nothing" : text;
  throw new KhwError("VERIFY_FAILED", `the gate ended with ${ended}: ${said}`, {
    hint: "correct this, then run the same command again; or go back: khw-client upgrade --back",
  });
}
