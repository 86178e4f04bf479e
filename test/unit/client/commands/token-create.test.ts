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

t.test("without tlsBootstrap, token create is refused before the command reads the credentials", async (t) => {
  const folder = t.testdir();
  const flag = (value: string) => `kubernetes: {flags: {kube-apiserver: {enable-bootstrap-token-auth: ${value}}}}`;
  for (const [text, message] of [
    ["{}", /because tlsBootstrap is not set/],
    [flag("'false'"), /because tlsBootstrap is not set/],
    [`tlsBootstrap: true\n${flag("'false'")}`, /because kubernetes\.flags turns off enable-bootstrap-token-auth/],
    [`tlsBootstrap: true\n${flag("null")}`, /because kubernetes\.flags turns off enable-bootstrap-token-auth/],
  ] as const) {
    await t.rejects(run(folder, text, undefined), {
      code: "CONFIG_INVALID",
      message,
      hint: /run khw-client bootstrap/,
    });
  }
  for (const text of ["tlsBootstrap: true", flag("'true'")]) {
    await t.rejects(run(folder, text, undefined), { code: "CREDENTIAL_INVALID" }, text);
  }
});
