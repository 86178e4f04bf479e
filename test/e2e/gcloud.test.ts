import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import t from "tap";
import { startCompute } from "../testbed/compute/start.ts";
import { gcloudEnvironment } from "../testbed/gcloud.ts";

const run = promisify(execFile);
const skip = existsSync("/usr/bin/gcloud") ? false : "gcloud is not installed here";
const names = ["controller-0", "controller-1", "controller-2"];
const link = (path: string) => `https://www.googleapis.com/compute/v1/projects/khw-testbed/${path}`;

/** Returns the lab's gcloud commands that create the load balancer. */
async function labCommands(): Promise<string> {
  const text = await readFile(new URL("../lab/lab-08.md", import.meta.url), "utf8");
  const blocks = [...text.matchAll(/```sh\n(\{[^`]*?\n\})\n```/g)].map(([, code = ""]) => code);
  const block = blocks.find((code) => code.includes("gcloud compute forwarding-rules create"));
  if (block === undefined) throw new Error("The lab has no block that creates the forwarding rule");
  return block;
}

/**
 * Converts a fingerprint to URL-safe base64. gcloud prints URL-safe base64 even if the API returns standard base64.
 */
function urlSafe(resource: Record<string, unknown>): Record<string, unknown> {
  const { fingerprint } = resource;
  if (typeof fingerprint !== "string") return resource;
  return { ...resource, fingerprint: fingerprint.replaceAll("+", "-").replaceAll("/", "_") };
}

t.test("the real gcloud accepts the emulator as the Compute Engine API", { skip }, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "gcloud-"));
  const network = `127.${200 + (process.pid % 50)}.${(process.pid >> 6) % 250}`;
  const compute = await startCompute({
    listen: `${network}.1:8090`,
    socket: join(folder, "control.sock"),
    address: `${network}.50`,
    instances: names.map((name, index) => `${name}=${network}.${10 + index}`),
  });
  t.teardown(async () => {
    await compute[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });
  const env = { PATH: process.env.PATH, ...gcloudEnvironment(compute.url, join(folder, "gcloud")) };
  const shell = async (script: string) => (await run("bash", ["-euc", script], { env })).stdout;
  const gcloud = async (words: string): Promise<unknown> => JSON.parse(await shell(`gcloud ${words} --format json`));

  await t.test("the lab's commands succeed, and gcloud shows the same values as the REST API", async (t) => {
    await shell(await labCommands());
    const described = {
      "http-health-checks describe kubernetes": {
        path: "global/httpHealthChecks/kubernetes",
        fields: { host: "kubernetes.default.svc.cluster.local", requestPath: "/healthz", port: 80 },
      },
      "firewall-rules describe kubernetes-the-hard-way-allow-health-check": {
        path: "global/firewalls/kubernetes-the-hard-way-allow-health-check",
        fields: { allowed: [{ IPProtocol: "tcp" }], network: link("global/networks/kubernetes-the-hard-way") },
      },
      "target-pools describe kubernetes-target-pool": {
        path: "regions/us-west1/targetPools/kubernetes-target-pool",
        fields: { instances: names.map((name) => link(`zones/us-west1-c/instances/${name}`)) },
      },
      "forwarding-rules describe kubernetes-forwarding-rule": {
        path: "regions/us-west1/forwardingRules/kubernetes-forwarding-rule",
        fields: { IPAddress: `${network}.50`, portRange: "6443-6443" },
      },
      "addresses describe kubernetes-the-hard-way": {
        path: "regions/us-west1/addresses/kubernetes-the-hard-way",
        fields: { status: "IN_USE" },
      },
    };
    for (const [words, { path, fields }] of Object.entries(described)) {
      const seen = await gcloud(`compute ${words}`);
      t.match(seen, fields, words);
      const answer = await fetch(`${compute.url}projects/khw-testbed/${path}`);
      const resource: Record<string, unknown> = JSON.parse(await answer.text());
      t.same(urlSafe(resource), seen, "gcloud shows the resource that the REST API returns");
    }
  });

  await t.test("gcloud lists resources with filters and reads the health of the target pool", async (t) => {
    t.match(await gcloud("compute forwarding-rules list"), [{ name: "kubernetes-forwarding-rule" }]);
    t.match(await gcloud("compute firewall-rules list"), [{ name: /allow-health-check$/ }]);
    t.match(await gcloud("compute instances list --filter name=controller-1"), [{ name: "controller-1" }]);
    t.match(
      await gcloud("compute target-pools get-health kubernetes-target-pool"),
      names.map(() => ({ healthStatus: [{ healthState: "UNHEALTHY", ipAddress: `${network}.50` }] })),
    );
  });

  await t.test("gcloud reports the emulator's errors correctly", async (t) => {
    await t.rejects(shell("gcloud compute target-pools create kubernetes-target-pool"), /already exists/);
    await t.rejects(shell("gcloud compute target-pools delete kubernetes-target-pool"), /already being used by/);
    const batch = "gcloud compute addresses delete nothing1 nothing2";
    await t.rejects(
      shell(batch),
      /nothing1' was not found[^]*nothing2' was not found/,
      "gcloud reports each error of a batch",
    );
  });

  await t.test("gcloud deletes the resources that it created", async (t) => {
    await shell(`
      gcloud compute forwarding-rules delete kubernetes-forwarding-rule
      gcloud compute target-pools delete kubernetes-target-pool
      gcloud compute http-health-checks delete kubernetes
      gcloud compute firewall-rules delete kubernetes-the-hard-way-allow-health-check`);
    const { resources } = await compute.control.state();
    const left = Object.keys(resources).filter((path) =>
      /healthChecks|firewalls|targetPools|forwardingRules/.test(path),
    );
    t.same(left, []);
  });
});
