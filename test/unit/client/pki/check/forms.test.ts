import { cp, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { parseConfig } from "../../../../../client/config/load.ts";
import { tellProblem } from "../../../../../client/pki/check/problem.ts";
import { examineCredentials } from "../../../../../client/pki/check/read.ts";
import { complete, credentialForms, formCluster, formsTable } from "../../../../fixtures/credential-forms.ts";

const root = await mkdtemp(join(tmpdir(), "khw-forms-"));
t.teardown(() => rm(root, { recursive: true }));
const sound = join(root, "sound");
await complete(sound);

async function findings(folder: string): Promise<string[]> {
  const origin = { label: "", code: "CONFIG_INVALID", folder } as const;
  const config = parseConfig({ kind: "empty", origin }, { flags: new Map([["--credentials", folder]]), folder });
  const { controllers, publicAddress } = formCluster;
  return (await examineCredentials(config, { controllers, publicAddress })).problems.map(tellProblem);
}

for (const [index, { form, refusal, make }] of credentialForms.entries()) {
  t.test(form, async (t) => {
    const folder = join(root, String(index));
    await cp(sound, folder, { recursive: true });
    await make(folder);
    const found = await findings(folder);
    if (refusal === undefined) t.same(found, []);
    else t.match(found.join("\n"), refusal);
  });
}

t.test("the documented table is this one", async (t) => {
  const text = await readFile(new URL("../../../../../docs/pki-forms.md", import.meta.url), "utf8");
  t.ok(text.includes(formsTable()), formsTable());
});
