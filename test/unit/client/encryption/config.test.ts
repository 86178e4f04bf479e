import t from "tap";

import { parseEncryptionConfig } from "../../../../client/encryption/config.ts";
import type { Provider } from "../../../../client/pki/encryption/provider.ts";
import {
  addKey,
  currentKind,
  dropOldKeys,
  keyName,
  promoteKey,
  stageOf,
  stageOfAll,
} from "../../../../client/pki/encryption/stage.ts";

const secret = Buffer.alloc(32, 7).toString("base64");
const [january, february] = ["key-20260131T120000Z", "key-20260228T120000Z"];

const lab = `# mine
kind: EncryptionConfig
apiVersion: v1
resources:
  - resources:
      - secrets
    providers:
      - aescbc:
          keys:
            - name: key1
              secret: ${secret}
      - identity: {}
  - resources:
      - events # nothing secret in them
    providers:
      - identity: {}
`;

t.test("providers are replaced in place, and everything else in the file is unchanged", async (t) => {
  const config = parseEncryptionConfig(lab);
  t.strictSame(
    config.entries.map(({ resources }) => resources),
    [["secrets"]],
    "the entry without encryption is left out",
  );
  const text = config.withProviders(({ providers }) => providers.toReversed());
  t.match(text, /^# mine\nkind: EncryptionConfig\n/);
  t.match(text, /\n      - events # nothing secret in them\n/);
  t.strictSame(
    parseEncryptionConfig(text).entries[0]?.providers.map(({ kind }) => kind),
    ["identity", "aescbc"],
  );
  t.equal(
    config.withProviders(({ providers }) => providers),
    lab,
  );
});

t.test("a provider that cannot be read is refused with its position in the file, and no key is shown", async (t) => {
  const cases: Readonly<Record<string, RegExp>> = {
    [lab.replace("aescbc:", "kms:")]: /providers\[0\]\.kms\.name: is missing/,
    [lab.replace("aescbc:", "rot13:")]: /providers\[0\]: is not a provider that khw supports/,
    [lab.replace("EncryptionConfig", "Secret")]: /kind: is not one of/,
    [lab.replace("- secrets", "- events").replace(/- aescbc:[^]*- identity: {}\n  - res/, "- identity: {}\n  - res")]:
      /does not encrypt anything/,
    [lab.replace("name: key1", "nome: key1")]: /keys\[0\]: has no name or no secret/,
    [`${lab}}`]: /is not YAML/,
  };
  for (const [text, message] of Object.entries(cases)) {
    t.throws(() => parseEncryptionConfig(text), { code: "CREDENTIAL_INVALID", message });
    try {
      parseEncryptionConfig(text);
    } catch (error) {
      t.notMatch(String(error), secret.slice(0, 10));
    }
  }
});

const key = (name: string) => ({ name, secret });
const aescbc = (first: string, ...others: string[]): Provider => ({
  kind: "aescbc",
  keys: [key(first), ...others.map(key)],
});
const identity: Provider = { kind: "identity" };
const secretbox = (name: string): Provider => ({ kind: "secretbox", keys: [key(name)] });

t.test("the progress of a rotation is derived from the names of the keys", async (t) => {
  t.equal(keyName(new Date("2026-01-31T12:00:00.500Z")), january);
  t.equal(stageOf([aescbc("key1"), identity]), "settled");
  t.equal(
    stageOf([aescbc("key2", "key1"), identity]),
    "settled",
    "key names that khw did not choose do not indicate a rotation",
  );
  t.equal(stageOf([aescbc("key1", january)]), "added");
  t.equal(stageOf([aescbc(january, "key1")]), "first");
  t.equal(stageOf([aescbc(january), identity]), "settled");
  t.equal(stageOf([aescbc(january, february)]), "added");
  t.equal(stageOf([aescbc(february, january)]), "first");
  t.equal(stageOf([identity, aescbc(january)]), "added");
  t.equal(stageOf([aescbc("key1"), secretbox(january)]), "added");
  t.equal(stageOf([secretbox(january), aescbc("key1")]), "first");
  t.equal(stageOfAll([[aescbc("key1")], [aescbc(january, "key1")]]), "first");
  t.equal(stageOfAll([[aescbc("key1", january)], [aescbc(january, "key1")]]), "added");
});

t.test("the new key is first added for reading, then used for writing, and is finally the only key", async (t) => {
  const steps = (start: readonly Provider[], kind = currentKind(start)) => {
    const added = addKey(start, { kind, key: key(january) });
    const first = promoteKey(added);
    return [added, first, dropOldKeys(first)].map((providers) =>
      providers.map((provider) =>
        "keys" in provider ? `${provider.kind} ${provider.keys.map(({ name }) => name).join(" ")}` : provider.kind,
      ),
    );
  };
  t.strictSame(steps([aescbc("b", "a"), identity]), [
    [`aescbc b ${january} a`, "identity"],
    [`aescbc ${january} b a`, "identity"],
    [`aescbc ${january}`, "identity"],
  ]);
  t.strictSame(steps([identity]), [
    ["identity", `aescbc ${january}`],
    [`aescbc ${january}`, "identity"],
    [`aescbc ${january}`, "identity"],
  ]);
  t.strictSame(steps([aescbc("a")], "secretbox"), [
    ["aescbc a", `secretbox ${january}`],
    [`secretbox ${january}`, "aescbc a"],
    [`secretbox ${january}`],
  ]);
  t.strictSame(
    steps([identity, aescbc("a")]),
    [
      ["identity", `aescbc ${january} a`],
      [`aescbc ${january} a`, "identity"],
      [`aescbc ${january}`, "identity"],
    ],
    "each kind of provider occurs only once, because the API server would ignore a second provider of the same kind",
  );
});
