import t from "tap";
import { otherCluster } from "../../../../agent/preflight/other-cluster.ts";
import type { DesiredState } from "../../../../proto/desired.ts";
import { createFakeOs, type FakeOs } from "../../../fakes/os.ts";
import { labState } from "../../../fixtures/lab-cluster.ts";
import { digest, labDesired, labDesiredWithEtcd } from "../../../fixtures/machine.ts";

const certificate = (body: string): string => `-----BEGIN CERTIFICATE-----\n${body}\n-----END CERTIFICATE-----\n`;
const encryption = (...keys: string[]): string =>
  `resources:\n- resources: [secrets]\n  providers:\n  - aescbc:\n      keys:\n${keys.map((key) => `      - name: key1\n        secret: ${key}\n`).join("")}`;

const [ours, theirs] = [certificate("b3Vycw=="), certificate("dGhlaXJz")];

function credentials(changes: Readonly<Record<string, string>>) {
  return labState().credentials.map(({ name, sha256, content }) => {
    const text = changes[name];
    return text === undefined ? { name, sha256, content } : { name, sha256: digest(text), content: Buffer.from(text) };
  });
}

const wanted = (changes: Readonly<Record<string, string>> = {}): DesiredState =>
  labDesired({
    credentials: credentials({ "ca.pem": ours, "encryption-config.yaml": encryption("b3du"), ...changes }),
  });

function machine(files: Readonly<Record<string, string>>): FakeOs {
  const os = createFakeOs();
  for (const [path, content] of Object.entries(files)) os.files.put(path, content);
  return os;
}

async function findings(os: FakeOs, desired: DesiredState, kept?: DesiredState): Promise<string[]> {
  const found = await otherCluster(desired, os, kept);
  for (const { node, step, hint, code } of found) {
    t.ok(node === "controller-0" && step === "preflight" && hint && code === "PREFLIGHT_FAILED");
  }
  t.strictSame(os.changes(), []);
  return found.map(({ message }) => message);
}

t.test("a new machine, or a machine with the same CA, does not count as part of another cluster", async (t) => {
  t.strictSame(await findings(machine({}), wanted()), []);
  const same = machine({
    "/var/lib/kubernetes/ca.pem": ours,
    "/var/lib/kubernetes/kubernetes.pem": theirs,
    "/var/lib/kubernetes/encryption-config.yaml": encryption("b3du"),
  });
  t.strictSame(await findings(same, wanted()), [], "certificates other than the CA may change");
});

t.test("another cluster's CA file is not overwritten, whether or not khw created the file", async (t) => {
  const os = machine({ "/var/lib/kubernetes/ca.pem": theirs });
  t.strictSame(await findings(os, wanted()), ["/var/lib/kubernetes/ca.pem is the CA of another cluster"]);
  t.strictSame(await findings(os, wanted(), wanted({ "ca.pem": theirs })), [
    "/var/lib/kubernetes/ca.pem is the CA of another cluster",
  ]);
  t.strictSame(
    await findings(os, wanted(), wanted()),
    [],
    "if the agent's desired state already has the wanted CA, a different CA on the machine is drift",
  );
  t.strictSame(
    await findings(os, wanted({ "ca.pem": theirs + ours })),
    [],
    "another CA may be added to the file that contains the current CA",
  );
  t.strictSame(await findings(machine({ "/var/lib/kubernetes/ca.pem": "spoilt" }), wanted()), []);
});

t.test("etcd's copy of the CA is checked only if khw manages etcd", async (t) => {
  const os = machine({ "/etc/etcd/ca.pem": theirs });
  t.strictSame(await findings(os, wanted()), []);
  const managed = labDesiredWithEtcd({ credentials: credentials({ "ca.pem": ours }) });
  t.strictSame(await findings(os, managed), ["/etc/etcd/ca.pem is the CA of another cluster"]);
});

t.test(
  "an encryption configuration that lacks existing keys is refused unless the agent has a desired state",
  async (t) => {
    const os = machine({ "/var/lib/kubernetes/encryption-config.yaml": encryption("b3du", "b2xk") });
    t.strictSame(await findings(os, wanted()), [
      "the new configuration lacks 1 of the encryption keys in /var/lib/kubernetes/encryption-config.yaml",
    ]);
    t.strictSame(
      await findings(os, wanted(), wanted()),
      [],
      "old keys may be dropped if the agent has a desired state",
    );
    const more = { "encryption-config.yaml": encryption("bmV3", "b2xk", "b3du") };
    t.strictSame(await findings(os, wanted(more)), [], "a configuration that only adds a key is accepted");
    const json = machine({
      "/var/lib/kubernetes/encryption-config.yaml": '{"keys":[{"name":"key1","secret":"b2xk"}]}',
    });
    t.match(await findings(json, wanted()), [/lacks 1 of the encryption keys/]);
  },
);
