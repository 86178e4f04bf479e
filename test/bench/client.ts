/** Measures how long khw-client's quick commands take, compared with starting Node alone. */
import type { Testbed } from "../testbed/index.ts";
import { clientProgram } from "../testbed/workstation.ts";
import type { Workstation } from "../testbed/workstation.ts";
import { nodesOf } from "./khw.ts";
import { median, secondsOf } from "./time.ts";

const runs = 10;

/** Median durations, in seconds. */
export interface ClientTimes {
  /** `node -e 0`, run by the same Node binary as the client. */
  readonly node: number;
  readonly version: number;
  readonly status: number;
}

/** Runs the three commands in turn, so that other load on the host affects all of them equally. */
export async function measureClient(testbed: Testbed, { folder }: Workstation): Promise<ClientTimes> {
  const commands = {
    node: [process.execPath, "-e", "0"],
    version: [clientProgram, "--version"],
    status: [clientProgram, "status", ...nodesOf(testbed)],
  };
  const once = (argv: readonly string[]): Promise<number> => secondsOf(testbed.must(argv, { cwd: folder }));
  const times = { node: [] as number[], version: [] as number[], status: [] as number[] };
  for (let run = 0; run < runs; run++) {
    times.node.push(await once(commands.node));
    times.version.push(await once(commands.version));
    times.status.push(await once(commands.status));
  }
  return { node: median(times.node), version: median(times.version), status: median(times.status) };
}
