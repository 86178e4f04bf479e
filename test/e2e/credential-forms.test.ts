/**
 * Checks that every component starts with files that pass `pki check`, and that the programs reject files that `pki
 * check` rejects. Tests some of the forms in docs/pki-forms.md, with several forms in one folder.
 * test/soak/credential-forms.test.ts tests every form.
 */
import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { complete, credentialForms, findings } from "../fixtures/credential-forms.ts";
import { judge } from "../fixtures/real-programs/judge.ts";
import { prepare } from "../testbed/prepare.ts";

const root = await mkdtemp(join(tmpdir(), "khw-forms-"));
t.teardown(() => rm(root, { recursive: true }));
const sound = join(root, "sound");
await complete(sound);
const prepared = await prepare("bookworm");
t.jobs = 2;

async function folderOf(forms: readonly string[]): Promise<string> {
  const folder = await mkdtemp(join(root, "forms-"));
  await cp(sound, folder, { recursive: true });
  for (const name of forms) {
    const row = credentialForms.find(({ form }) => form === name);
    if (row === undefined) throw new Error(`no row ${name}`);
    await row.make(folder);
  }
  return folder;
}

const taken: readonly (readonly string[])[] = [
  [
    "certificates followed by their intermediate certificate",
    "PEM with CRLF line ends",
    "kubeconfig: without kind and apiVersion",
    "encryption config: a second document",
  ],
  [
    "a root that uses X.509 version 1",
    "a key on P-384",
    "service accounts: P-521",
    "encryption config: a date as a name",
    "PEM with lines of text before it",
  ],
  [
    "an Ed25519 key",
    "service accounts: an old public key after or before the new key",
    "PEM with blanks at the ends of lines",
  ],
];
for (const forms of taken) {
  t.test(`every component works with: ${forms.join(", ")}`, async (t) => {
    const folder = await folderOf(forms);
    t.same(await findings(folder), []);
    t.same(await judge(folder, prepared), { works: true });
  });
}

const refused: readonly (readonly [form: string, component: string])[] = [
  ["a key with a byte-order mark", "etcd"],
  ["a truncated block", "etcd"],
  ["an encrypted private key", "etcd"],
  ["a key on secp256k1", "etcd"],
  ["explicit curve parameters", "etcd"],
  ["service accounts: Ed25519", "kube-apiserver"],
  ["encryption config: a number as a name", "kube-apiserver"],
  ["encryption config: identity without braces", "kube-apiserver"],
];
for (const [form, component] of refused) {
  t.test(`both khw and ${component} refuse this form: ${form}`, async (t) => {
    const folder = await folderOf([form]);
    t.not((await findings(folder)).length, 0);
    const verdict = await judge(folder, prepared);
    t.match(verdict, { works: false, component });
    if (!verdict.works) t.comment(verdict.said);
  });
}
