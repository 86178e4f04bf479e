import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { connectControl, type ComputeControl } from "./control.ts";

/** The options of an emulator process. */
export interface ComputeOptions {
  /** The address on which the API listens, as `HOST:PORT`. */
  readonly listen: string;
  /** The path of the control socket. */
  readonly socket: string;
  /** The IP of the static address. */
  readonly address: string;
  /** Each instance as `NAME=INTERNAL` or `NAME=INTERNAL/EXTERNAL`. */
  readonly instances: readonly string[];
  /** Whether the static address exists at the start; true by default. */
  readonly withAddress?: boolean;
  /** The number by which the health-check intervals are divided; 1 by default. */
  readonly probeScale?: number;
  readonly project?: string;
  readonly region?: string;
  readonly zone?: string;
  /** A command prefix that runs the emulator elsewhere, such as `ip netns exec NAME`. */
  readonly within?: readonly string[];
}

/** A running emulator. Disposing of it ends the process and waits until the process has exited. */
export interface Compute extends AsyncDisposable {
  /** The API's base URL, with the trailing slash that gcloud requires. */
  readonly url: string;
  readonly control: ComputeControl;
  readonly pid: number;
}

/**
 * Starts an emulator as a separate process and waits until the emulator is serving. If the emulator cannot start,
 * rejects with the emulator's error output.
 */
export async function startCompute(options: ComputeOptions): Promise<Compute> {
  const { listen, socket, address, instances, within = [], withAddress = true, probeScale = 1 } = options;
  const { project = "khw-testbed", region = "us-west1", zone = "us-west1-c" } = options;
  const flags = { listen, control: socket, address, project, region, zone };
  const argv = [
    // If this process is killed, the emulator ends as well.
    "setpriv",
    "--pdeathsig",
    "KILL",
    "--",
    ...within,
    process.execPath,
    fileURLToPath(new URL("./main.ts", import.meta.url)),
    ...Object.entries(flags).flatMap(([name, value]) => [`--${name}`, value]),
    "--instances",
    instances.join(","),
    "--probe-scale",
    String(probeScale),
    ...(withAddress ? [] : ["--no-address"]),
  ];
  const [command = "", ...rest] = argv;
  // The environment is not inherited, because test runners add loader options to it.
  const child = spawn(command, rest, { stdio: ["ignore", "pipe", "pipe"], env: { PATH: process.env.PATH } });
  const exited = once(child, "exit");
  const complaints: string[] = [];
  child.stderr.setEncoding("utf8").on("data", (text: string) => complaints.push(text));
  const [first] = await Promise.race([once(createInterface({ input: child.stdout }), "line"), exited]);
  if (first !== "ready" || child.pid === undefined) throw new Error(`The emulator ended: ${complaints.join("")}`);

  const control = connectControl(socket);
  return {
    url: `http://${listen}/compute/v1/`,
    control,
    pid: child.pid,
    [Symbol.asyncDispose]: async () => {
      await control[Symbol.asyncDispose]();
      child.kill("SIGTERM");
      await exited;
      if (complaints.length > 0) throw new Error(`The emulator reported an error: ${complaints.join("")}`);
    },
  };
}
