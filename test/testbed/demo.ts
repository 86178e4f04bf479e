/**
 * Runs the demo: three controllers, an emulated cloud, and one command that turns the controllers into a control plane.
 *
 * usage: demo.ts [--nodes N] | down
 */
import { spawn } from "node:child_process";
import { parseArgs } from "node:util";

import { findTestbed, noCredentials, startTestbed } from "./index.ts";
import type { Testbed } from "./index.ts";
import { namespaceOf, namespacePath } from "./layout.ts";
import { agentPackage, clientProgram, installPackage, kubectlCommand, makeBareWorkstation } from "./workstation.ts";

const name = "demo";

const { values, positionals } = parseArgs({
  options: { nodes: { type: "string", default: "3" } },
  allowPositionals: true,
});
if (positionals[0] === "down") await down();
else await up(Number(values.nodes));

async function up(count: number): Promise<void> {
  await (await findTestbed(name))?.stop();
  say(`booting ${count} bare controllers with systemd, a metadata server, a Compute API and a release mirror`);
  const testbed = await startTestbed({ name, nodes: count, keep: true, withEtcd: false, credentials: noCredentials });
  try {
    const workstation = await makeBareWorkstation(testbed);
    say("installing only khw-agent on each with apt");
    await installPackage(testbed.nodes, agentPackage);
    const nodes = ["--nodes", `controller-${testbed.nodes.map((_, index) => index).join(",")}`];
    say(`khw-client bootstrap ${nodes.join(" ")}`);
    await inTerminal(testbed, [clientProgram, "bootstrap", ...nodes], workstation.folder);
    say(`khw-client status ${nodes.join(" ")}`);
    await inTerminal(testbed, [clientProgram, "status", ...nodes], workstation.folder);
    process.stdout.write(whatNow(testbed, workstation.folder, nodes));
  } catch (error) {
    await testbed.stop();
    throw error;
  }
}

async function down(): Promise<void> {
  const testbed = await findTestbed(name);
  await testbed?.stop();
  say(testbed === undefined ? "no demo is running" : "removed");
}

/** Returns the next steps, which the user can paste into a shell. */
function whatNow(testbed: Testbed, folder: string, nodes: readonly string[]): string {
  const enter = `nsenter --net=${namespacePath(namespaceOf(testbed.id))}`;
  const [first] = testbed.nodes;
  return `
The control plane is up. The load balancer's address is ${testbed.publicAddress}. Next steps:

  # Kubernetes, through the load balancer
  ${enter} ${kubectlCommand(testbed, ["get", "namespaces"]).join(" ")}

  # khw-client, on the workstation
  cd ${folder} && ${enter} ${clientProgram} status ${nodes.join(" ")}

  # a shell on ${first?.name ?? "a node"}
  nsenter --target ${first?.leaderPid ?? 0} --all

  # stop and remove everything
  npm run demo -- down
`;
}

/** Runs a command on the workstation, attached to this terminal. Throws if the command fails. */
async function inTerminal({ id }: Testbed, argv: readonly string[], cwd: string): Promise<void> {
  const child = spawn("nsenter", [`--net=${namespacePath(namespaceOf(id))}`, "--", ...argv], { cwd, stdio: "inherit" });
  const code = await new Promise<number | null>((resolve, reject) =>
    child.once("error", reject).once("close", resolve),
  );
  if (code !== 0) throw new Error(`${argv.join(" ")}: exit status ${code}`);
}

function say(text: string): void {
  process.stdout.write(`\n==> ${text}\n`);
}
