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

t.test("a fresh machine, and one that has just these files, are no other cluster's", async (t) => {
  t.strictSame(await findings(machine({}), wanted()), []);
  const same = machine({
    "/var/lib/kubernetes/ca.pem": ours,
    "/var/lib/kubernetes/kubernetes.pem": theirs,
    "/var/lib/kubernetes/encryption-config.yaml": encryption("b3du"),
  });
  t.strictSame(await findings(same, wanted()), [], "leaves may change");
});

t.test("another CA is not overwritten, whether khw made it or somebody else", async (t) => {
  const os = machine({ "/var/lib/kubernetes/ca.pem": theirs });
  t.strictSame(await findings(os, wanted()), ["/var/lib/kubernetes/ca.pem is another cluster's CA"]);
  t.strictSame(await findings(os, wanted(), wanted({ "ca.pem": theirs })), [
    "/var/lib/kubernetes/ca.pem is another cluster's CA",
  ]);
  t.strictSame(await findings(os, wanted(), wanted()), [], "where khw keeps the wanted one, it is drift");
  t.strictSame(await findings(os, wanted({ "ca.pem": theirs + ours })), [], "one CA may follow another");
  t.strictSame(await findings(machine({ "/var/lib/kubernetes/ca.pem": "spoilt" }), wanted()), []);
});

t.test("etcd's own copy counts where khw runs etcd", async (t) => {
  const os = machine({ "/etc/etcd/ca.pem": theirs });
  t.strictSame(await findings(os, wanted()), []);
  const managed = labDesiredWithEtcd({ credentials: credentials({ "ca.pem": ours }) });
  t.strictSame(await findings(os, managed), ["/etc/etcd/ca.pem is another cluster's CA"]);
});

t.test("encryption keys that would be gone are not overwritten, but where khw keeps a state", async (t) => {
  const os = machine({ "/var/lib/kubernetes/encryption-config.yaml": encryption("b3du", "b2xk") });
  t.strictSame(await findings(os, wanted()), [
    "/var/lib/kubernetes/encryption-config.yaml has encryption keys that the wanted configuration lacks: 1",
  ]);
  t.strictSame(await findings(os, wanted(), wanted()), [], "a rotation drops old keys");
  const more = { "encryption-config.yaml": encryption("bmV3", "b2xk", "b3du") };
  t.strictSame(await findings(os, wanted(more)), [], "a key that is added takes none away");
  const json = machine({
    "/var/lib/kubernetes/encryption-config.yaml": '{"keys":[{"name":"key1","secret":"b2xk"}]}',
  });
  t.match(await findings(json, wanted()), [/lacks: 1$/]);
});
