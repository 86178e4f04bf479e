/**
 * Measures an update of three nodes to another release, in a testbed without load. Prints the duration of each phase on
 * each node, as Markdown. Takes several minutes.
 *
 * Usage: `node test/bench/roll.ts [FROM [TO]]`. The default releases are v1.20.2 and v1.21.0. For any other release, the
 * programs of v1.21.0 get a new version label of the same length.
 */
import { folderMirror, publishRelabelled } from "../fixtures/relabelled.ts";
import { startTestbed, type TestbedNode } from "../testbed/index.ts";
import { agentPackage, installAgents, laterVersion, makeWorkstation, realVersion } from "../testbed/workstation.ts";
import { nodesOf } from "./khw.ts";
import { machine } from "./report.ts";
import { secondsOf } from "./time.ts";

interface HistoryEvent {
  readonly node: string;
  readonly timeUnixMillis: number;
  readonly message: string;
}

const parts = [
  "drain",
  "steps before the API server stops",
  "API server: stop",
  "API server: start until ready; the other components",
  "undrain (on the last node, including the final checks)",
] as const;

const [from = realVersion, to = laterVersion] = process.argv.slice(2);
const before = await machine();
await using testbed = await startTestbed();
const workstation = await makeWorkstation(testbed);
await installAgents(workstation, testbed.nodes, agentPackage);
const isBuilt = (version: string): boolean => version === realVersion || version === laterVersion;
for (const version of [from, to]) if (!isBuilt(version)) await publishRelabelled(testbed, version);
const bootstrap = (version: string): Promise<string> => {
  const mirror = isBuilt(version) ? [] : ["--mirror", folderMirror];
  return workstation.mustKhw(["bootstrap", ...nodesOf(testbed), "--kubernetes-version", version, ...mirror]);
};
await bootstrap(from);
const since = new Date().toISOString();
const whole = await secondsOf(bootstrap(to));
const end = Date.now();

const history = await workstation.mustKhw(["events", ...nodesOf(testbed), "--since", since, "-o", "json"]);
const events: HistoryEvent[] = history.split("\n").flatMap((line) => (line === "" ? [] : [JSON.parse(line)]));
const drains = testbed.nodes.map(({ name }) => timeOf(name, /^drained by/));
const durations = await Promise.all(testbed.nodes.map((node, index) => durationsOf(node, drains[index + 1] ?? end)));

const cells = (texts: readonly string[]): string => `| ${texts.join(" | ")} |\n`;
process.stdout.write(`${before} before\n\n`);
process.stdout.write(cells(["", ...testbed.nodes.map(({ name }) => name)]));
process.stdout.write(cells(["---", ...testbed.nodes.map(() => "---")]));
for (const [index, part] of parts.entries())
  process.stdout.write(cells([part, ...durations.map((each) => seconds(each[index] ?? Number.NaN))]));
process.stdout.write(`\nfrom the first drain to the end: ${seconds(end - Math.min(...drains))}\n`);
process.stdout.write(`the whole command: ${seconds(whole * 1000)}\n`);

/** Returns the duration of each phase, in milliseconds. */
async function durationsOf(node: TestbedNode, until: number): Promise<number[]> {
  const { name } = node;
  const [stopping, stopped] = await apiserverStop(node);
  const moments = [
    timeOf(name, /^drained by/),
    timeOf(name, /^started by/),
    stopping,
    stopped,
    timeOf(name, /^done$/),
    until,
  ];
  return moments.slice(1).map((moment, index) => moment - (moments[index] ?? Number.NaN));
}

/** Returns when the API server began to stop, and when it had stopped, in milliseconds since the epoch. */
async function apiserverStop(node: TestbedNode): Promise<[number, number]> {
  const fields = ["ActiveExitTimestampMonotonic", "InactiveEnterTimestampMonotonic"];
  const command = ["systemctl", "show", "--value", `--property=${fields.join(",")}`, "kube-apiserver.service"];
  const micros = (await node.must(command)).trim().split("\n").map(Number);
  const offset = Date.now() - Number(process.hrtime.bigint() / 1_000_000n);
  const [first, second] = micros.map((each) => each / 1000 + offset).toSorted((a, b) => a - b);
  if (first === undefined || second === undefined) throw new Error(`${node.name}'s API server never stopped`);
  return [first, second];
}

function timeOf(node: string, message: RegExp): number {
  const event = events.find((each) => each.node === node && message.test(each.message));
  if (event === undefined) throw new Error(`${node} has no event ${message}`);
  return event.timeUnixMillis;
}

function seconds(millis: number): string {
  return `${(millis / 1000).toFixed(1)} s`;
}
