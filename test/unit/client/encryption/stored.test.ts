import t from "tap";

import type { EncryptionEntry } from "../../../../client/encryption/config.ts";
import {
  encryptsByWildcard,
  outdated,
  describeStored,
  unreadableValues,
} from "../../../../client/encryption/stored.ts";

const key = (name: string) => ({ name, secret: "" });
const entries: readonly EncryptionEntry[] = [
  {
    index: 0,
    resources: ["secrets", "widgets.example.com", "deployments.apps", "nodes"],
    providers: [{ kind: "aescbc", keys: [key("new"), key("old")] }, { kind: "identity" }],
  },
];
const stored = (resource: string, provider: string, name: string) => ({ resource, provider, key: name, count: 1 });

t.test("values encrypted with a key that the configuration lacks are reported as unreadable", async (t) => {
  const lost = [stored("secrets", "aescbc", "other"), stored("secrets", "secretbox", "old"), stored("x", "kms", "p")];
  const known = [stored("secrets", "aescbc", "old"), stored("secrets", "aescbc", "new"), stored("pods", "", "")];
  t.strictSame(unreadableValues([...known, ...lost], entries), lost);
});

t.test("values that would be stored differently today are outdated, regardless of their path in etcd", async (t) => {
  const old = [
    stored("secrets", "aescbc", "old"),
    stored("configmaps", "aescbc", "old"),
    stored("secrets", "", ""),
    stored("example.com/widgets", "", ""),
    stored("deployments", "", ""),
    stored("minions", "", ""),
  ];
  const current = [
    stored("secrets", "aescbc", "new"),
    stored("configmaps", "", ""),
    stored("widgets", "secretbox", "new"),
  ];
  t.strictSame(outdated([...old, ...current.slice(0, 2)], entries), old);
  t.equal(
    outdated(current, entries).length,
    1,
    "a key with the same name from another provider counts as a different key",
  );
});

t.test("if the configuration does not encrypt, unencrypted values are not outdated", async (t) => {
  const clear: readonly EncryptionEntry[] = [{ index: 0, resources: ["secrets"], providers: [{ kind: "identity" }] }];
  t.strictSame(outdated([stored("secrets", "", "")], clear), []);
});

t.test("unencrypted Secrets that match a wildcard are outdated unless an earlier entry exempts them", async (t) => {
  const clear = [stored("secrets", "", ""), stored("ranges/serviceips", "", "")];
  const providers = [{ kind: "aescbc", keys: [key("new")] }] as const;
  const kept: EncryptionEntry = { index: 0, resources: ["secrets"], providers: [{ kind: "identity" }] };
  for (const name of ["*.*", "*."]) {
    const all: EncryptionEntry = { index: 1, resources: [name], providers };
    t.strictSame(outdated(clear, [all]), clear.slice(0, 1), name);
    t.strictSame(outdated(clear, [kept, all]), []);
    t.ok(encryptsByWildcard([kept, all]));
  }
  const apps: EncryptionEntry = { index: 0, resources: ["*.apps"], providers };
  t.strictSame(outdated(clear, [apps]), []);
  t.ok(encryptsByWildcard([apps]));
  t.notOk(encryptsByWildcard(entries));
  t.notOk(encryptsByWildcard([{ ...apps, providers: [{ kind: "identity" }] }]));
});

t.test("outdated values are described by count, resource and key", async (t) => {
  t.equal(
    describeStored([stored("secrets", "aescbc", "old"), stored("pods", "", "")]),
    "1 secrets encrypted with aescbc old, 1 pods not encrypted",
  );
});
