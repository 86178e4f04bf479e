import t from "tap";
import { unlistedAgents } from "../../../../client/management/own.ts";
import { createAuthority, issue } from "../../../../client/pki/management/issue.ts";
import { identityFiles } from "../../../../client/pki/folder.ts";
import { addToRegister } from "../../../../client/pki/management/register.ts";

const at = "2026-01-31T12:00:00.000Z";

t.test("an agent that would not get the new management CA is found, unless it is revoked", async (t) => {
  const now = new Date();
  const authority = await createAuthority(now);
  const identities = await Promise.all(
    (["admin", "agent"] as const).map(async (role) => {
      const name = role === "admin" ? "alice" : "controller-3";
      return identityFiles(name, await issue(authority, { name, role, days: 1 }, now));
    }),
  );
  const folder = t.testdir(Object.assign({}, ...identities));
  for (const name of ["controller-0", "controller-1", "controller-2"])
    await addToRegister(folder, { event: "issued", at, name, serial: "A1" });
  await addToRegister(folder, { event: "revoked", at, name: "controller-2", serials: ["A1"] });
  t.strictSame(await unlistedAgents(folder, ["controller-0"]), ["controller-1", "controller-3"]);
  t.strictSame(await unlistedAgents(folder, ["controller-0", "controller-1", "controller-3"]), []);
});
