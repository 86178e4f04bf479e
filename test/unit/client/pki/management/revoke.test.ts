import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { pkiInit, pkiIssue } from "../../../../../client/commands/pki.ts";
import { pkiRevoke } from "../../../../../client/commands/pki-revoke.ts";
import type { Context } from "../../../../../client/terminal/context.ts";
import { readRegister } from "../../../../../client/pki/management/register.ts";
import { never } from "../../../../fixtures/machine.ts";

const folder = await mkdtemp(join(tmpdir(), "khw-revoke-test-"));
t.teardown(() => rm(folder, { recursive: true }));

/** Creates a context that records the output and the warnings. */
function watched(): Context & { readonly said: string[]; readonly warned: string[] } {
  const [said, warned]: [string[], string[]] = [[], []];
  const write = (text: string): void => void said.push(text);
  const warn = (text: string): void => void warned.push(text);
  return { write, warn, terminal: false, env: {}, signal: never, said, warned };
}

await pkiInit(watched(), { folder });
await pkiIssue(watched(), { folder, names: ["controller-0"], role: "agent" });
await pkiIssue(watched(), { folder, names: ["jane"], role: "viewer" });

t.test(
  "if a revoke command names a person, the command is refused and none of the named agents is revoked",
  async (t) => {
    for (const person of ["admin", "jane"]) {
      const refused = pkiRevoke(watched(), { folder, names: ["controller-0", person] });
      await t.rejects(refused, {
        code: "INVALID_ARGUMENT",
        message: /is not an agent's identity/,
        hint: /security\.md/,
      });
    }
    t.equal((await readRegister(folder)).revokedNames.size, 0);
  },
);

t.test("an agent's identity is revoked with all certificates signed for it", async (t) => {
  const context = watched();
  t.equal(await pkiRevoke(context, { folder, names: ["controller-0"] }), 0);
  t.same(context.said, ["controller-0: revoked, with 1 certificate\n"]);
  t.same(context.warned, []);
  const { issued, revokedSerials } = await readRegister(folder);
  t.same([...revokedSerials], issued.get("controller-0"));
});

t.test("a name without signed certificates is revoked, with a warning", async (t) => {
  const context = watched();
  t.equal(await pkiRevoke(context, { folder, names: ["contoller-1"] }), 0);
  t.match(context.warned.join(""), /^contoller-1: this CA has never signed a certificate for this node/);
  t.ok((await readRegister(folder)).revokedNames.has("contoller-1"));
});
