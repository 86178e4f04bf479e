import { X509Certificate } from "node:crypto";
import t from "tap";
import { readHardening } from "../../../../agent/hardening/hardening.ts";
import { createAuthority } from "../../../../client/pki/management/issue.ts";
import { createFakeOs } from "../../../fakes/os.ts";

const never = new AbortController().signal;

const encryption = `kind: EncryptionConfig
resources:
  - resources:
      - secrets
    # providers: not these
    providers:
      # the key for writing
      - secretbox:
          keys:
            - name: key1
              secret: dG9wIHNlY3JldA==
      - identity: {}
  - resources: [configmaps]
    providers: [{identity: {}}]
`;

t.test("the facts that a controller reports contain no file contents", async (t) => {
  const os = createFakeOs();
  const { files, systemd } = os;
  const { certificate: pem } = await createAuthority(new Date());
  const fingerprint = new X509Certificate(pem).fingerprint256.replaceAll(":", "").toLowerCase();
  files.put("/etc/passwd", "root:x:0:0:root:/root:/bin/bash\ntoor:x:0:0::/:/bin/sh\nbackup:x:34:34::/:\n");
  files.put("/etc/group", "root:x:0:\n");
  files.put("/var/lib/kubernetes/ca.pem", `${pem}\n${pem}`, 0o600);
  files.put("/var/lib/kubernetes/ca-key.pem", "PRIVATE", 0o640);
  files.put("/var/lib/kubernetes/encryption-config.yaml", encryption, 0o600);
  files.put("/etc/etcd/ca.pem", "no certificate");
  await files.chown("/var/lib/kubernetes/ca-key.pem", 34, 34);
  files.put("/etc/kubernetes/config/kube-scheduler.yaml", "kind: KubeSchedulerConfiguration\nenableProfiling: false\n");
  files.put("/etc/cni/net.d/10-bridge.conf", "{}");
  files.put("/var/lib/cni/networks/bridge/10.200.0.2", "");
  files.put("/etc/systemd/system/kube-scheduler.service", "[Service]\nExecStart=/usr/local/bin/kube-scheduler --v=2\n");
  files.put("/usr/local/bin/kube-scheduler", "program", 0o755);
  await systemd.reload();
  await systemd.start("kube-scheduler.service", never);

  const facts = await readHardening(os);
  t.strictSame(facts.components, [{ name: "kube-scheduler", arguments: ["--v=2"] }]);
  t.strictSame(facts.encryptionProviders, ["secretbox", "identity"]);
  t.equal(facts.schedulerProfiling, false);
  const byPath = new Map(facts.files.map((file) => [file.path, file]));
  t.match(byPath.get("/var/lib/kubernetes/ca.pem"), { mode: 0o600, owner: "root", group: "root", folder: false });
  t.strictSame(byPath.get("/var/lib/kubernetes/ca.pem")?.certificates, [fingerprint, fingerprint]);
  t.match(byPath.get("/var/lib/kubernetes/ca-key.pem"), {
    mode: 0o640,
    owner: "backup",
    group: "34",
    certificates: [],
  });
  t.strictSame(
    byPath.get("/etc/etcd/ca.pem")?.certificates,
    [],
    "a damaged certificate file is reported with an empty list of certificates",
  );
  t.equal(byPath.get("/var/lib/kubernetes")?.folder, true);
  t.ok(byPath.has("/var/lib/cni/networks/bridge/10.200.0.2"));
  t.notOk(byPath.has("/etc/passwd"), "only the files that the benchmark checks are reported");
  t.notMatch(JSON.stringify(facts), /PRIVATE|dG9wIHNlY3JldA|BEGIN/);
});

t.test("a machine without a control plane reports no facts", async (t) => {
  const facts = await readHardening(createFakeOs());
  t.strictSame(facts, { components: [], files: [], encryptionProviders: [] });
});
