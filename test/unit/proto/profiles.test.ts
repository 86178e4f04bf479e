import { readFile } from "node:fs/promises";
import t from "tap";
import { schema } from "../../../client/config/schema.ts";
import { settingsOf } from "../../../client/config/setting.ts";
import { effectsOn, hardening, hardeningKeys, profileRows, profileTable } from "../../../proto/profiles.ts";

t.test("docs/profiles.md has the current table", async (t) => {
  const text = await readFile(new URL("../../../docs/profiles.md", import.meta.url), "utf8");
  t.ok(text.includes(profileTable()), `docs/profiles.md must have this table: ${profileTable()}`);
});

t.test("every row matches a setting with two profile defaults, and every setting with two defaults has a row", (t) => {
  const settings = settingsOf(schema).filter(({ setting }) => setting.production !== undefined);
  t.strictSame(
    settings
      .map(({ path, setting }) => JSON.stringify([path.join("."), setting.default, setting.production]))
      .toSorted(),
    profileRows
      .map(({ setting, ...row }) => JSON.stringify([setting, plain(row.lab), plain(row.production)]))
      .toSorted(),
  );
  t.end();
});

t.test("an effect applies from its first to its last release", (t) => {
  const ports = (minor: number) => effectsOn(minor, hardening.insecurePortsOff.effects).length;
  t.strictSame([20, 22, 23, 24, 37].map(ports), [3, 3, 2, 0, 0]);
  t.equal(effectsOn(20, hardening.denyExternalIps.effects).length, 0);
  t.end();
});

t.test("every row has a reason, a source and an effect", (t) => {
  for (const { setting, why, source, effects } of profileRows) {
    t.ok(why.length > 20 && source.startsWith("https://") && effects.length > 0, setting);
  }
  t.ok(hardeningKeys.length > 0);
  t.end();
});

function plain(value: string): string | boolean {
  return value === "true" || value === "false" ? value === "true" : value;
}
