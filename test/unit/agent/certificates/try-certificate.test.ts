import t from "tap";
import { tryCertificate } from "../../../../agent/certificates/try-certificate.ts";
import type { ProbeResult, Probes } from "../../../../agent/os/probes.ts";
import { fakeIdentity } from "../../../fakes/os.ts";
import { never } from "../../../fixtures/machine.ts";

const [apiServer, member, peer] = [
  "https://127.0.0.1:6443/api",
  "https://127.0.0.1:2379/health",
  "https://10.240.0.10:2380/version",
];
const ok: ProbeResult = { status: 200, body: "{}" };
const rejected: ProbeResult = { status: 0, body: "bad certificate", failure: "rejected" };
const down: ProbeResult = { status: 0, body: "connect ECONNREFUSED", failure: "refused" };
const request = { ca: Buffer.from("ca"), certificate: Buffer.from("leaf"), key: Buffer.from("key") };

async function verdicts(answers: Readonly<Record<string, ProbeResult>>, managesEtcd = true) {
  const asked: unknown[] = [];
  const http: Probes["http"] = async (url, { caPem, certPem, keyPem }) => {
    asked.push([url, caPem, certPem, keyPem]);
    return answers[url] ?? down;
  };
  const identity = fakeIdentity;
  const probes = Object.assign(Object.create(null), { http });
  const found = await tryCertificate({ probes, identity }, request, { managesEtcd, signal: never });
  return { asked, found: Object.fromEntries(found.map(({ server, accepted }) => [server, accepted])) };
}

t.test("each server is called with the certificate, and each server's verdict is reported", async (t) => {
  const { asked, found } = await verdicts({ [apiServer]: ok, [member]: rejected, [peer]: ok });
  t.strictSame(found, { "kube-apiserver": true, etcd: false, "etcd-peer": true });
  t.strictSame(
    asked,
    [apiServer, member, peer].map((url) => [url, "ca", "leaf", "key"]),
  );
});

t.test("status 401 from an API server means refusal, and every other status means acceptance", async (t) => {
  t.strictSame((await verdicts({ [apiServer]: { status: 401, body: "" } }, false)).found, { "kube-apiserver": false });
  t.strictSame((await verdicts({ [apiServer]: { status: 403, body: "" } }, false)).found, { "kube-apiserver": true });
});

t.test("a server that does not answer gives no verdict", async (t) => {
  await t.rejects(verdicts({}, false), { code: "NOT_READY", message: /^kube-apiserver does not show .*ECONNREFUSED/ });
  await t.rejects(
    verdicts({ [apiServer]: rejected }, false),
    { code: "NOT_READY" },
    "a TLS rejection gives no verdict, because an API server that refuses a certificate answers 401 instead",
  );
  await t.rejects(verdicts({ [apiServer]: ok, [member]: ok, [peer]: down }), {
    code: "NOT_READY",
    message: /^etcd-peer /,
  });
  const unverified: ProbeResult = { status: 0, body: "self signed", failure: "unverified" };
  await t.rejects(verdicts({ [apiServer]: ok, [member]: unverified, [peer]: ok }), { code: "NOT_READY" });
});
