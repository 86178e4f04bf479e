/**
 * Tests that invalid arguments are reported before the client calls an agent or creates a file. The test does not even
 * have a management CA.
 */
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { bootstrap } from "../../../../client/commands/bootstrap.ts";
import { etcdDefrag } from "../../../../client/commands/etcd-defrag.ts";
import { etcdRestore } from "../../../../client/commands/etcd-restore.ts";
import { pkiRenew } from "../../../../client/commands/pki-renew.ts";
import { loadConfig } from "../../../../client/config/load.ts";
import type { Context } from "../../../../client/terminal/context.ts";
import { never } from "../../../fixtures/machine.ts";

const folder = await mkdtemp(join(tmpdir(), "khw-arguments-"));
t.teardown(() => rm(folder, { recursive: true }));
const silent: Context = { write: () => {}, warn: () => {}, terminal: false, env: {}, signal: never };
const output = "text";

const configOf = (nodes?: string) =>
  loadConfig({ flags: new Map(nodes === undefined ? [] : [["--nodes", nodes]]), folder, env: {} });
const config = await configOf("controller-0=192.0.2.1");

t.test("bootstrap without nodes is refused before any file is created", async (t) => {
  const options = {
    output,
    allowDowngrade: false,
    allowRemovedApis: false,
    noRollback: false,
    forceConflicts: false,
    allowPrune: [],
  } as const;
  const refused = bootstrap(await configOf(), silent, options);
  await t.rejects(refused, { code: "INVALID_ARGUMENT", message: "no nodes given" });
  t.same(await readdir(folder), []);
});

t.test("pki renew refuses a CA, an unknown name, an empty list of names, and names together with --all", async (t) => {
  const renew = (all: boolean, ...names: readonly string[]) =>
    pkiRenew(config, silent, { output, names, all, noRollback: false });
  const code = "INVALID_ARGUMENT";
  await t.rejects(renew(false), { code, message: "pki renew: no certificate given" });
  await t.rejects(renew(false, "ca"), { code, message: /ca is a CA/ });
  await t.rejects(renew(false, "admin"), { code, message: /folder has no certificate admin\.pem/ });
  await t.rejects(renew(true, "admin"), { code, message: /--all cannot be combined with names \(admin\)/ });
});

t.test("etcd defrag refuses a threshold that is not a percentage or is blank", async (t) => {
  for (const threshold of ["much", "", " ", "101"]) {
    const refused = etcdDefrag(config, silent, { output, threshold });
    await t.rejects(refused, { code: "INVALID_ARGUMENT", message: /^--threshold: / }, threshold);
  }
  await t.rejects(etcdDefrag(config, silent, { output, threshold: "0" }), { code: "CREDENTIAL_INVALID" });
});

t.test("etcd restore refuses a snapshot file that does not exist", async (t) => {
  const restore = (snapshot: string) => etcdRestore(config, silent, { output, snapshot, yes: true });
  const path = join(folder, "nosuch.db");
  await t.rejects(restore(path), { code: "INVALID_ARGUMENT", message: /nosuch\.db/ });
  await writeFile(path, "");
  await t.rejects(restore(path), { code: "CREDENTIAL_INVALID" });
});
