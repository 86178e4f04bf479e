import { mkdir, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import t from "tap";
import { readManagementIdentity } from "../../../../client/cluster/channel.ts";

t.test("if several files cannot be read, the error names the first one", async (t) => {
  const folder = t.testdir();
  const paths = { ca: join(folder, "ca.pem"), certificate: join(folder, "a.pem"), key: join(folder, "a-key.pem") };
  const failed = (message: RegExp) => ({ code: "CREDENTIAL_INVALID", message });
  for (const path of [paths.ca, paths.certificate, paths.key]) {
    await t.rejects(readManagementIdentity(paths), failed(new RegExp(`open '${path}'`)));
    // A folder can be opened but not read, so the error occurs later than with a missing file.
    await mkdir(path);
    await t.rejects(readManagementIdentity(paths), failed(/EISDIR/));
    await rmdir(path);
    await writeFile(path, "");
  }
});
