import { appendFile, mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { addToRegister, readRegister, refuseRevoked } from "../../../../../client/pki/management/register.ts";

const at = "2026-01-31T12:00:00.000Z";

async function newFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "khw-register-test-"));
  t.teardown(() => rm(folder, { recursive: true }));
  return folder;
}

t.test("a readmitted name can get certificates again, and its old certificates stay revoked", async (t) => {
  const folder = await newFolder();
  t.equal((await readRegister(folder)).issued.size, 0);
  await Promise.all(
    ["A1", "B2"].map((serial) => addToRegister(folder, { event: "issued", at, name: "controller-0", serial })),
  );
  t.same([...((await readRegister(folder)).issued.get("controller-0") ?? [])].sort(), ["A1", "B2"]);

  await addToRegister(folder, { event: "revoked", at, name: "controller-0", serials: ["A1", "B2"] });
  const revoked = await readRegister(folder);
  t.throws(() => refuseRevoked(revoked, "controller-0"), { code: "PERMISSION_DENIED" });
  refuseRevoked(revoked, "controller-1");
  t.ok(revoked.revokedSerials.has("A1"));

  await addToRegister(folder, { event: "readmitted", at, name: "controller-0" });
  const readmitted = await readRegister(folder);
  refuseRevoked(readmitted, "controller-0");
  t.same([...readmitted.revokedSerials], ["A1", "B2"]);
  t.equal((await stat(join(folder, "agents.jsonl"))).mode & 0o777, 0o600);
});

t.test("reading the register fails if any of its lines is unreadable", async (t) => {
  for (const line of ["{", "[]", '{"event":"forgiven","name":"x"}', '{"event":"revoked","name":"x","serials":[1]}']) {
    const folder = await newFolder();
    await addToRegister(folder, { event: "issued", at, name: "controller-0", serial: "A1" });
    await appendFile(join(folder, "agents.jsonl"), `${line}\n`);
    await t.rejects(readRegister(folder), { code: "CREDENTIAL_INVALID", message: /agents\.jsonl: line 2/ }, line);
  }
});
