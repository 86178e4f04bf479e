/** Tries every row of docs/pki-forms.md with the real etcd, Kubernetes and nginx. */
import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { complete, credentialForms } from "../fixtures/credential-forms.ts";
import { judge } from "../fixtures/real-programs/judge.ts";
import { prepare } from "../testbed/prepare.ts";

const root = await mkdtemp(join(tmpdir(), "khw-forms-"));
t.teardown(() => rm(root, { recursive: true }));
const sound = join(root, "sound");
await complete(sound);
const prepared = await prepare("bookworm");
t.jobs = 2;

for (const [index, { form, kubernetes, refusal, make }] of credentialForms.entries()) {
  t.test(form, async (t) => {
    const folder = join(root, String(index));
    await cp(sound, folder, { recursive: true });
    await make(folder);
    const verdict = await judge(folder, prepared);
    t.comment(verdict.works ? "works" : `${verdict.component}: ${verdict.said}`);
    if (refusal === undefined) t.ok(verdict.works, "all programs work with files that pki check accepts");
    if (kubernetes === "refuses") t.notOk(verdict.works, "a Kubernetes program rejects the files");
  });
}
