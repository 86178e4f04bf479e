import t from "tap";
import { preflight } from "../../../../agent/preflight/preflight.ts";
import { renderKubeApiserver } from "../../../../agent/render/kube-apiserver.ts";
import { createFakeOs, fakeIdentity, type FakeOs } from "../../../fakes/os.ts";
import { controllers, labState } from "../../../fixtures/lab-cluster.ts";
import { labDesired, never } from "../../../fixtures/machine.ts";

const mebibyte = 1024 ** 2;
const etcd = controllers.map(({ internalIp }) => `https://${internalIp}:2379/health`);

function ready(): FakeOs {
  const os = createFakeOs();
  for (const url of etcd) os.answers.set(url, { status: 200, body: '{"health":"true","reason":""}' });
  return os;
}

async function findings(os: FakeOs, desired = labDesired()): Promise<string[]> {
  const found = await preflight(desired, os, never);
  for (const { node, step, hint } of found) t.ok(node === os.identity.name && step === "preflight" && hint);
  t.strictSame(os.changes(), [], "nothing is changed");
  return found.map(({ code, message }) => `${code}: ${message}`);
}

t.test("a suitable new machine has no preflight findings", async (t) => t.strictSame(await findings(ready()), []));

t.test("a machine with a different name or address than expected is reported", async (t) => {
  for (const identity of [
    { ...fakeIdentity, name: "controller-1" },
    { ...fakeIdentity, internalIp: "10.240.0.99" },
  ]) {
    const os = { ...ready(), identity };
    t.strictSame(await findings(os), [
      `IDENTITY_MISMATCH: this machine is ${identity.name} at ${identity.internalIp}, not controller-0 at 10.240.0.10`,
    ]);
  }
});

t.test("an API server that would lose some of its etcd servers is reported", async (t) => {
  const os = ready();
  os.files.put("/etc/systemd/system/kube-apiserver.service", renderKubeApiserver(labDesired()));
  t.strictSame(await findings(os), []);
  const { cluster } = labState();
  if (cluster === undefined) throw new Error("the lab's desired state has no cluster");
  const alone = { ...cluster, controllers: controllers.slice(0, 1) };
  t.strictSame(
    await findings(os, labDesired({ cluster: { ...alone, etcdServers: cluster.etcdServers.slice(0, 1) } })),
    [
      "PREFLIGHT_FAILED: its API server would no longer use the etcd servers https://10.240.0.11:2379, https://10.240.0.12:2379",
    ],
  );
  os.answers.set("https://192.0.2.9:2379/health", { status: 200, body: '{"health":"true","reason":""}' });
  const elsewhere = { ...alone, etcdServers: ["https://192.0.2.9:2379"] };
  t.strictSame(
    await findings(os, labDesired({ cluster: elsewhere })),
    [],
    "a move to a completely different etcd is not reported as a loss of servers",
  );
});

t.test("a port held by another program is reported, but not a port held by the component itself", async (t) => {
  const os = ready();
  os.listeners.set(6443, { pid: 7, name: "haproxy" });
  os.listeners.set(10257, { pid: 8, name: "kube-controller" });
  os.listeners.set(10259, { pid: 9, name: "nc" });
  os.listeners.set(80, { pid: 10, name: "apache2" });
  t.strictSame(await findings(os), [
    "PREFLIGHT_FAILED: port 6443 is in use by haproxy (pid 7)",
    "PREFLIGHT_FAILED: port 10259 is in use by nc (pid 9)",
    "PREFLIGHT_FAILED: port 80 is in use by apache2 (pid 10)",
  ]);
});

t.test(
  "a disk that lacks space for a new release, or for the files of an installed release, is reported",
  async (t) => {
    const os = ready();
    os.files.free = 699.9 * mebibyte;
    t.strictSame(await findings(os), [
      "PREFLIGHT_FAILED: only 699 MiB are free in /usr/local/lib/khw/kubernetes, but khw needs 700 MiB",
    ]);
    os.files.put("/usr/local/lib/khw/kubernetes/v1.21.0/kubectl", "kubectl");
    t.strictSame(await findings(os), []);
    os.files.free = 49 * mebibyte;
    t.match(await findings(os), [
      /49 MiB are free in .*khw\/kubernetes/,
      /free in .*kubernetes/,
      /systemd/,
      /dpkg/,
      /bin\/kubectl/,
    ]);
  },
);

t.test("an etcd cluster without quorum is reported with the fault of each member", async (t) => {
  const [one = "", two = "", three = ""] = etcd;
  const os = ready();
  os.answers.delete(one);
  t.strictSame(await findings(os), [], "preflight has no finding if only one of three etcd servers is down");
  os.answers.set(two, { status: 503, body: '{"health":"false",\n"reason":"RAFT NO LEADER"}\n' });
  t.strictSame(await findings(os), [
    "PREFLIGHT_FAILED: etcd has no healthy majority: https://10.240.0.10:2379: connect ECONNREFUSED; " +
      'https://10.240.0.11:2379: answers 503 "{\\"health\\":\\"false\\",\\n\\"reason\\":\\"RAFT NO LEADER\\"}"',
  ]);
  os.answers.set(three, { status: 200, body: '{"health":"false"}' });
  t.match(await findings(os), [/10\.240\.0\.12:2379: answers 200/]);
  const cluster = labState().cluster;
  if (cluster === undefined) throw new Error("the fixture has no cluster");
  const pair = labDesired({ cluster: { ...cluster, etcdServers: cluster.etcdServers.slice(1) } });
  os.answers.set(three, { status: 200, body: '{"health":true}' });
  t.match(
    await findings(os, pair),
    [/no healthy majority/],
    "a single healthy etcd server out of two is not a majority",
  );
});

t.test("etcd is queried with the API server's own certificate, and never without a certificate", async (t) => {
  const os = ready();
  const asked: unknown[] = [];
  const probes = {
    ...os.probes,
    http: async (url: string, { caPem, certPem, keyPem }: Readonly<Record<string, unknown>>) => {
      asked.push([url, caPem, certPem, keyPem]);
      return { status: 200, body: '{"health":"true"}' };
    },
  };
  await preflight(labDesired(), { ...os, probes }, never);
  t.strictSame(
    asked,
    etcd.map((url) => [url, "content of ca.pem", "content of kubernetes.pem", "content of kubernetes-key.pem"]),
  );
  const credentials = labState().credentials.map(({ name, sha256 }) => ({ name, sha256, content: undefined }));
  t.strictSame(await findings(createFakeOs(), labDesired({ credentials })), []);
});

t.test("preflight reports all findings in one run, and no finding contains a key", async (t) => {
  const os = createFakeOs();
  os.listeners.set(80, { pid: 10, name: "apache2" });
  os.files.free = 0;
  const found = await findings(os);
  t.equal(found.length, 7);
  t.notMatch(found.join(), "content of");
});
