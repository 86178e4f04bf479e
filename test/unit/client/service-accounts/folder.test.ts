import { mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import t from "tap";

import { completeFolder } from "../../../../client/pki/folder.ts";
import { describeRotation, refuseOtherRotation, rotationsUnderWay } from "../../../../client/rotations/under-way.ts";
import {
  beginRotation,
  endRotation,
  readRotation,
  recordProgress,
} from "../../../../client/service-accounts/folder.ts";
import { newTokenKeys } from "../../../fakes/token-cluster.ts";

const [old, next] = [newTokenKeys(), newTokenKeys()];
const begun = { oldKey: old.privateKey, newKey: next.privateKey, newCertificate: next.publicKey };

const folders = (folder: string) => ({ credentials: folder, management: `${folder}/khw-pki` });

async function credentials(folder: string): Promise<string> {
  await writeFile(join(folder, "service-account.pem"), old.publicKey);
  await writeFile(join(folder, "service-account-key.pem"), old.privateKey);
  return folder;
}

t.test("the folder records the start, the progress and the end of a rotation", async (t) => {
  const folder = await credentials(t.testdir());
  t.equal(await readRotation(folder), undefined);
  t.strictSame(await rotationsUnderWay(folders(folder)), []);
  await beginRotation(folder, begun);
  t.match(await readRotation(folder), { stage: "started", oldKey: old.privateKey, progress: {} });
  for (const name of ["old-key.pem", "new-key.pem", "progress.json"]) {
    const { mode } = await stat(join(folder, "rotation-service-account-key", name));
    t.equal(mode & 0o777, 0o600, name);
  }
  await recordProgress(folder, { signingSince: "2026-01-31T12:00:00.000Z", replaced: ["a/b"] });
  t.match(await readRotation(folder), {
    progress: { signingSince: "2026-01-31T12:00:00.000Z", replaced: ["a/b"], dropOn: undefined },
  });
  await completeFolder(folder);
  t.ok(await readRotation(folder), "the rotation's record is kept when the folder is completed");
  const kept = await endRotation(folder, new Date("2026-02-01T00:00:00Z"));
  t.equal(await readRotation(folder), undefined);
  t.equal(await readFile(join(kept, "old-key.pem"), "utf8"), old.privateKey);
  t.strictSame((await readdir(kept)).toSorted(), ["old-key.pem", "progress.json"]);
});

t.test("a second rotation is refused while one is in progress", async (t) => {
  const folder = await credentials(t.testdir());
  await beginRotation(folder, begun);
  await t.rejects(beginRotation(folder, begun), { code: "BUSY" });
  t.strictSame((await readdir(folder)).toSorted(), [
    "rotation-service-account-key",
    "service-account-key.pem",
    "service-account.pem",
  ]);
  await t.rejects(refuseOtherRotation(folders(folder), "encryption-key"), {
    code: "BUSY",
    hint: "finish it first with khw-client pki rotate-service-account-key",
  });
  await t.resolves(refuseOtherRotation(folders(folder), "service-account-key"));
});

t.test(
  "the rotation of the service account key is refused while an encryption key rotation is in progress",
  async (t) => {
    const folder = await credentials(t.testdir());
    const keys = ["key1", "key-20260131T120000Z"].map((name) => `{name: ${name}, secret: ${"A".repeat(43)}=}`);
    const lines = [
      "kind: EncryptionConfig",
      "apiVersion: v1",
      "resources:",
      "  - resources: [secrets]",
      `    providers: [{aescbc: {keys: [${keys.join(", ")}]}}]`,
    ];
    await writeFile(join(folder, "encryption-config.yaml"), lines.join("\n"));
    const [found] = await rotationsUnderWay(folders(folder));
    t.match(found, { rotation: "encryption-key", stage: "added" });
    t.match(found && describeRotation(found), /Continue with khw-client encryption rotate$/);
    await t.rejects(refuseOtherRotation(folders(folder), "service-account-key"), {
      code: "BUSY",
      message: /encryption-key/,
    });
  },
);

t.test("a damaged rotation folder is reported", async (t) => {
  const folder = await credentials(t.testdir());
  await mkdir(join(folder, "rotation-service-account-key"));
  await writeFile(join(folder, "rotation-service-account-key", "progress.json"), "{}");
  await t.rejects(readRotation(folder), { code: "CREDENTIAL_INVALID", message: /new.pem is missing/ });
  t.match(await rotationsUnderWay(folders(folder)), [{ stage: "unreadable", what: /is missing/ }]);
});
