import { once } from "node:events";
import { rm } from "node:fs/promises";
import type { Server } from "node:http";
import { parseArgs } from "node:util";
import { createControlServer } from "./control-server.ts";
import { DataPlane } from "./data-plane.ts";
import { createEmulator } from "./emulator.ts";
import { createApiServer } from "./http.ts";
import type { InstanceOptions } from "./initial.ts";

const usage = `usage: node main.ts --listen HOST:PORT --control SOCKET --project P --region R --zone Z --address IP
                    [--instances NAME=INTERNAL[/EXTERNAL[/ZONE]],...] [--no-address] [--probe-scale N]`;

/** Runs the emulator as a process. Prints `ready` when the emulator is serving. Exits on SIGTERM or SIGINT. */
async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      listen: { type: "string" },
      control: { type: "string" },
      project: { type: "string" },
      region: { type: "string" },
      zone: { type: "string" },
      address: { type: "string" },
      instances: { type: "string", default: "" },
      "no-address": { type: "boolean", default: false },
      "probe-scale": { type: "string", default: "1" },
    },
  });
  const { listen, control, project, region, zone, address, instances } = values;
  const [, host, port] = /^(.+):(\d+)$/.exec(listen ?? "") ?? [];
  if (!host || !control || !project || !region || !zone || !address) throw new Error(usage);

  const emulator = createEmulator({
    project,
    region,
    zone,
    staticAddress: address,
    withAddress: !values["no-address"],
    instances: instances.split(",").filter(Boolean).map(parseInstance),
  });
  await using dataPlane = new DataPlane({ store: emulator.store, probeScale: Number(values["probe-scale"]) });
  emulator.observe((pool, instance) => dataPlane.healthOf(pool, instance));
  // A killed emulator leaves its socket behind.
  await rm(control, { force: true });
  const api = createApiServer(emulator);
  const controls = createControlServer(emulator, () => dataPlane.state());
  await Promise.all([once(api.listen(Number(port), host), "listening"), once(controls.listen(control), "listening")]);
  const stopped = Promise.race([once(process, "SIGTERM"), once(process, "SIGINT")]);
  process.stdout.write("ready\n");
  await stopped;
  await Promise.all([close(api), close(controls)]);
}

function parseInstance(text: string): InstanceOptions {
  const [, name, internal, external = internal, zone] =
    /^([a-z][-a-z0-9]*)=([\d.]+)(?:\/([\d.]+)(?:\/([a-z][-a-z0-9]*))?)?$/.exec(text) ?? [];
  if (!name || !internal || !external) throw new Error(`--instances: ${text} is not NAME=INTERNAL[/EXTERNAL[/ZONE]]`);
  return { name, internal, external, ...(zone !== undefined && { zone }) };
}

async function close(server: Server): Promise<void> {
  const closed = once(server, "close");
  server.close();
  server.closeAllConnections();
  await closed;
}

await main();
