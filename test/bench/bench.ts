/**
 * Compares khw with the commands of lab 08, in testbeds on this host. Prints the result as Markdown. Takes several
 * minutes.
 *
 * usage: bench.ts [--runs N] --runs    the number of bootstraps per side (the sides alternate); 3 by default
 */
import { existsSync } from "node:fs";
import { stat } from "node:fs/promises";
import { parseArgs } from "node:util";

import { must } from "../testbed/command.ts";
import { startTestbed } from "../testbed/index.ts";
import type { Testbed } from "../testbed/index.ts";
import { agentPackage } from "../testbed/workstation.ts";
import type { Workstation } from "../testbed/workstation.ts";
import { measureIdle, measureStart } from "./agent.ts";
import { measureClient } from "./client.ts";
import { type KhwRun, runKhw } from "./khw.ts";
import { gcloud, runLab } from "./lab.ts";
import { machine, type Row, seconds, table } from "./report.ts";
import type { Bootstrap } from "./serving.ts";
import { median } from "./time.ts";

const { values } = parseArgs({ options: { runs: { type: "string", default: "3" } } });
const runs = Number(values.runs);
if (!Number.isInteger(runs) || runs < 1) throw new Error(`--runs must be 1 or more, not ${values.runs}`);

const before = await machine();
const lab: Bootstrap[] = [];
const khw: KhwRun[] = [];
const alone: Row[] = [];
for (let run = 1; run <= runs; run++) {
  if (existsSync(gcloud)) {
    tell(`lab 08, run ${run} of ${runs}`);
    await using testbed = await startTestbed();
    lab.push(await runLab(testbed));
  }
  tell(`khw, run ${run} of ${runs}`);
  await using testbed = await startTestbed();
  const { run: figures, workstation } = await runKhw(testbed);
  khw.push(figures);
  if (run === runs) alone.push(...(await standing(testbed, workstation)));
}
process.stdout.write(`${before} before, ${runs} bootstraps per side; the sides alternate\n\n`);
process.stdout.write(table([...bootstraps(), ...alone, await packageRow()]));
if (lab.length === 0)
  process.stdout.write("\ngcloud is not installed here, so the lab's own commands were left out.\n");

/** Measures the resource usage of a running control plane. */
async function standing(testbed: Testbed, workstation: Workstation): Promise<Row[]> {
  tell("the agents, idle for a minute");
  const idle = await measureIdle(testbed.nodes);
  tell("the client and the agent, starting");
  const client = await measureClient(testbed, workstation);
  const [first] = testbed.nodes;
  const starts = first === undefined ? [] : await measureStart(first);
  const millis = (value: number): string => `${(value * 1000).toFixed(0)} ms`;
  const bare = `${millis(client.node)} (\`node -e 0\`)`;
  return [
    {
      what: "agent's memory, idle after a bootstrap",
      measured: `${idle.resident.toFixed(0)} MB resident, including ${idle.anonymous.toFixed(0)} MB of its own`,
      reach: { value: idle.resident, atMost: 80, unit: " MB" },
    },
    {
      what: "agent's processor time, idle for a minute",
      measured: `${cpuText(idle.cpu)} of one core`,
      reach: { value: idle.cpu, atMost: 0.2, unit: "%" },
    },
    { what: "agent, from start to READY", measured: millis(median(starts)) },
    { what: "`khw-client --version`", measured: millis(client.version), beside: bare },
    { what: "`khw-client status` of three nodes", measured: millis(client.status), beside: bare },
  ];
}

function cpuText(percent: number): string {
  return `${percent.toFixed(2)}%`;
}

function bootstraps(): Row[] {
  const of = (name: keyof KhwRun): number[] => khw.map((figures) => figures[name]);
  const ofLab = (name: keyof Bootstrap): number[] => lab.map((figures) => figures[name]);
  const compared = (name: keyof Bootstrap, atMost: number): Pick<Row, "beside" | "reach"> =>
    lab.length === 0
      ? {}
      : {
          beside: `${seconds(ofLab(name))} (lab 08)`,
          reach: { value: median(of(name)) / median(ofLab(name)), atMost, unit: " of lab 08" },
        };
  return [
    {
      what: "bootstrap of three nodes, until all of them and the public address answer",
      measured: seconds(of("serving")),
      ...compared("serving", 0.55),
    },
    {
      what: "the same, until each side's own verification ends (khw's includes the health of the target pool)",
      measured: seconds(of("ended")),
      ...compared("ended", 0.8),
    },
    {
      what: "the same command again, with nothing to do",
      measured: seconds(of("again")),
      reach: { value: median(of("again")), atMost: 1, unit: " s" },
    },
    { what: "installing the package on three nodes, once per node", measured: seconds(of("installed")) },
  ];
}

async function packageRow(): Promise<Row> {
  const { size } = await stat(agentPackage);
  const installed = (Number(await must(["dpkg-deb", "--field", agentPackage, "Installed-Size"])) * 1024) / 1e6;
  return { what: "the .deb", measured: `${(size / 1e6).toFixed(1)} MB, ${installed.toFixed(0)} MB installed` };
}

function tell(text: string): void {
  process.stderr.write(`bench: ${text}\n`);
}
