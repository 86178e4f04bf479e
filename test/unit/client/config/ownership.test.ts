import { chmod, chown, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { loadConfig } from "../../../../client/config/load.ts";
import { refuseForeign } from "../../../../client/config/ownership.ts";

const root = await mkdtemp(join(tmpdir(), "khw-ownership-"));
t.teardown(() => rm(root, { recursive: true }));

t.test("a file is trusted if it belongs to the caller or root, and nobody else can write to it", async (t) => {
  const env = {};
  for (const [facts, uid] of [
    [{ uid: 1000, mode: 0o100644 }, 1000],
    [{ uid: 1000, mode: 0o100600 }, 1000],
    [{ uid: 0, mode: 0o100644 }, 1000],
    [{ uid: 0, mode: 0o100444 }, 0],
  ] as const) {
    t.doesNotThrow(() => refuseForeign("khw.yaml", facts, { uid, env }));
  }
  for (const [facts, uid, message, hint] of [
    [{ uid: 1001, mode: 0o100644 }, 1000, "khw.yaml is rejected: it belongs to user 1001", "chown 1000 khw.yaml"],
    [{ uid: 1000, mode: 0o100644 }, 0, "khw.yaml is rejected: it belongs to user 1000", "chown 0 khw.yaml"],
    [{ uid: 1000, mode: 0o100664 }, 1000, "its group may write to it (its mode is 0664)", "chmod go-w khw.yaml"],
    [{ uid: 0, mode: 0o100646 }, 1000, "anybody may write to it (its mode is 0646)", "chmod go-w khw.yaml"],
  ] as const) {
    t.throws(() => refuseForeign("khw.yaml", facts, { uid, env }), { code: "CONFIG_INVALID", message, hint });
  }
});

t.test("root trusts the files of the user who ran sudo, but not the files of other users", async (t) => {
  const facts = { uid: 1000, mode: 0o100644 };
  t.doesNotThrow(() => refuseForeign("khw.yaml", facts, { uid: 0, env: { SUDO_UID: "1000" } }));
  for (const [uid, env] of [
    [0, { SUDO_UID: "1001" }],
    [0, { SUDO_UID: "" }],
    [1001, { SUDO_UID: "1000" }],
  ] as const) {
    t.throws(() => refuseForeign("khw.yaml", facts, { uid, env }), { message: /belongs to user 1000/ });
  }
});

t.test("if khw.yaml is a symlink, the target is checked, and an untrusted target is not read", async (t) => {
  const [file, link] = [join(root, "real.yaml"), join(root, "khw.yaml")];
  await writeFile(file, "cluster: {name: mine}\n");
  await symlink(file, link);
  const load = () => loadConfig({ flags: new Map(), folder: root, env: { CLOUDSDK_CONFIG: root } });
  t.equal((await load()).cluster.name, "mine");
  await chmod(file, 0o666);
  await t.rejects(load(), { code: "CONFIG_INVALID", message: /khw\.yaml is refused: anybody may write to it/ });
  await chmod(file, 0o644);
  await chown(file, 12_345, 12_345);
  await t.rejects(load(), { code: "CONFIG_INVALID", message: /khw\.yaml is rejected: it belongs to user 12345/ });
});
