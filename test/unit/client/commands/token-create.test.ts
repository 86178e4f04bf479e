import { readFile } from "node:fs/promises";
import { join } from "node:path";
import t from "tap";
import { tokenCreate } from "../../../../client/commands/token-create.ts";
import { parseConfig } from "../../../../client/config/load.ts";
import { parseYaml } from "../../../../client/config/yaml.ts";
import { never } from "../../../fixtures/machine.ts";

/** Runs the command in a folder without credentials, so that the command fails when it reads the credentials. */
async function run(folder: string, text: string, kubeconfig: string | undefined): Promise<number> {
  const written = parseYaml(text, { name: "khw.yaml", folder });
  const config = parseConfig(written, { flags: new Map(), folder });
  const context = { write: () => {}, warn: () => {}, terminal: false, env: {}, signal: never };
  return tokenCreate(config, context, { output: "text", expires: "1h", kubeconfig });
}

t.test("an existing kubeconfig is refused before the command does anything, and is not changed", async (t) => {
  const folder = t.testdir({ admin: "mine" });
  const path = join(folder, "admin");
  await t.rejects(run(folder, "tlsBootstrap: true", path), {
    code: "INVALID_ARGUMENT",
    message: `${path} already exists`,
    hint: /another file with --kubeconfig/,
  });
  t.equal(await readFile(path, "utf8"), "mine");
  await t.rejects(run(folder, "tlsBootstrap: true", join(folder, "new")), { code: "CREDENTIAL_INVALID" });
});
