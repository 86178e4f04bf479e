import { cp, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { complete, credentialForms, findings, formsTable } from "../../../../fixtures/credential-forms.ts";

const root = await mkdtemp(join(tmpdir(), "khw-forms-"));
t.teardown(() => rm(root, { recursive: true }));
const sound = join(root, "sound");
await complete(sound);

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

t.test("the table in docs/pki-forms.md lists exactly the forms that these tests cover", async (t) => {
  const text = await readFile(new URL("../../../../../docs/pki-forms.md", import.meta.url), "utf8");
  t.ok(text.includes(formsTable()), formsTable());
});
