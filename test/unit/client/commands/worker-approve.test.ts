import t from "tap";
import { workerApprove } from "../../../../client/commands/worker-approve.ts";
import { parseConfig } from "../../../../client/config/load.ts";
import { parseYaml } from "../../../../client/config/yaml.ts";
import { never } from "../../../fixtures/machine.ts";

/** Runs the command in a folder without credentials. */
async function run(folder: string, text: string, ...nodes: readonly string[]): Promise<number> {
  const config = parseConfig(parseYaml(text, { name: "khw.yaml", folder }), { flags: new Map(), folder });
  const context = { write: () => {}, warn: () => {}, terminal: false, env: {}, signal: never };
  return workerApprove(config, context, { output: "text", nodes, watch: false });
}

t.test("worker approve refuses invalid arguments and settings before the command reads the credentials", async (t) => {
  const folder = t.testdir();
  const gce = "nodes: controller-0\ngce: {project: lab-project, region: us-west1}";
  for (const name of ["Worker-0", "worker_0", "../secrets", "worker-0/status", "-o", ""]) {
    await t.rejects(run(folder, gce, "worker-0", name), {
      code: "INVALID_ARGUMENT",
      message: /cannot be the name of a node/,
    });
  }
  await t.rejects(run(folder, "gce: {project: lab-project}"), { code: "INVALID_ARGUMENT", message: /no nodes given/ });
  await t.rejects(run(folder, "nodes: controller-0=192.0.2.1\nloadBalancer: none"), {
    code: "CONFIG_INVALID",
    message: /gce\.project is unknown/,
    hint: /check the request yourself/,
  });
  await t.rejects(run(folder, gce, "worker-0", "worker-0.c.lab-project.internal"), { code: "CREDENTIAL_INVALID" });
});
