/**
 * Creates the testbed's network: a bridge in a separate namespace, and a namespace connected to the bridge for each
 * machine.
 */
import { must, run } from "./command.ts";
import { gateway, metadataAddress, namespaceOf, publicAddress, subnet } from "./layout.ts";
import type { Place } from "./layout.ts";

/**
 * Creates the namespaces, the bridge and the links. All links are created inside the namespaces, so they never appear
 * in the host's own network. Deleting the namespaces deletes everything.
 */
export async function makeNetwork(id: string, nodes: readonly Place[]): Promise<void> {
  const bridge = namespaceOf(id);
  for (const namespace of namespacesOf(id, nodes)) await must(["ip", "netns", "add", namespace]);
  await configure(bridge, [
    "link set lo up",
    `address add ${metadataAddress}/32 dev lo`,
    `address add ${publicAddress}/32 dev lo`,
    "link add br0 type bridge",
    `address add ${gateway}/${subnet.length} dev br0`,
    "link set br0 up",
    ...nodes.flatMap(({ name, address, externalAddress }) => [
      `link add ${name} type veth peer name eth0 netns ${namespaceOf(id, name)}`,
      `link set ${name} master br0 up`,
      `route add ${externalAddress}/32 via ${address} dev br0`,
    ]),
  ]);
  await Promise.all(
    nodes.map(({ name, address, externalAddress }) =>
      configure(namespaceOf(id, name), [
        "link set lo up",
        `address add ${externalAddress}/32 dev lo`,
        `address add ${address}/${subnet.length} dev eth0`,
        "link set eth0 up",
        `route add default via ${gateway}`,
      ]),
    ),
  );
}

/** Removes the namespaces of a testbed. Some of them may not exist. */
export async function removeNetwork(id: string, nodes: readonly Place[]): Promise<void> {
  for (const namespace of namespacesOf(id, nodes)) {
    const deleted = await run(["ip", "netns", "delete", namespace]);
    if (deleted.code !== 0 && !deleted.stderr.includes("No such file")) throw new Error(deleted.stderr.trim());
  }
}

/** Disconnects a machine from the network, as if its cable had been pulled, or reconnects it. */
export async function setLink(id: string, name: string, state: "up" | "down"): Promise<void> {
  await must(["ip", "-netns", namespaceOf(id), "link", "set", name, state]);
}

/**
 * Adds or deletes the route to the pods of each worker, as lab 11 does. The route belongs to the network, which forwards
 * the packets of all machines.
 */
export async function setPodRoutes(id: string, workers: readonly Place[], action: "add" | "delete"): Promise<void> {
  const network = namespaceOf(id);
  await must(["ip", "netns", "exec", network, "sysctl", "--quiet", "--write", "net.ipv4.ip_forward=1"]);
  await configure(
    network,
    workers.flatMap(({ podCidr, address }) =>
      podCidr === undefined ? [] : [`route ${action} ${podCidr} via ${address} dev br0`],
    ),
  );
}

function namespacesOf(id: string, nodes: readonly Place[]): readonly string[] {
  return [namespaceOf(id), ...nodes.map(({ name }) => namespaceOf(id, name))];
}

async function configure(namespace: string, commands: readonly string[]): Promise<void> {
  const argv = ["ip", "-netns", namespace, "-batch", "-"];
  const result = await run(argv, { input: `${commands.join("\n")}\n` });
  if (result.code !== 0) throw new Error(`network namespace ${namespace}: ${result.stderr.trim()}`);
}
