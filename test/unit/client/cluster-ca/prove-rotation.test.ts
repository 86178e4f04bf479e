import { X509Certificate } from "node:crypto";
import t from "tap";

import { proveRotation } from "../../../../client/cluster-ca/prove-rotation.ts";
import { createAuthority, type Identity } from "../../../../client/pki/certificate.ts";
import type { TryCertificateRequest } from "../../../../proto/gen/khw/agent/v1/agent.ts";
import { dayMillis } from "../../../../proto/time.ts";
import { never } from "../../../fixtures/machine.ts";

const hourMillis = dayMillis / 24;

/** Creates a CA that expires after this many milliseconds. */
async function authority(name: string, millis: number): Promise<Identity> {
  const subject = { CN: name, O: "Kubernetes" };
  return createAuthority({ subject, days: 10, algorithm: "ecdsa" }, new Date(Date.now() + millis - 10 * dayMillis));
}

const next = await authority("new", 9 * dayMillis);
const servers = ["kube-apiserver", "etcd", "etcd-peer"] as const;

interface MemberOptions {
  readonly reports?: readonly string[];
  readonly endsAfter?: number;
}

/** Creates a node whose servers trust a single CA. After `endsAfter` calls, etcd closes every connection. */
function member(trusted: Identity, { reports = servers, endsAfter = Infinity }: MemberOptions = {}) {
  const probes: X509Certificate[] = [];
  const ca = new X509Certificate(trusted.certificate);
  const tryCertificate = async ({ certificate }: TryCertificateRequest) => {
    const probe = new X509Certificate(certificate);
    probes.push(probe);
    const ended = (server: string) => server !== "kube-apiserver" && probes.length > endsAfter;
    return {
      verdicts: reports.map((server) => ({ server, accepted: !ended(server) && probe.verify(ca.publicKey) })),
    };
  };
  const node = Object.assign(Object.create(null), { address: { name: "controller-0" }, tryCertificate });
  return { node, probes };
}

const expected = { old: "refused", next: "accepted" } as const;
const options = { ca: next.certificate, expected, servers, signal: never } as const;
const all = servers.map((server) => `${server} on controller-0`).join(", ");

t.test("if a CA expires within a day, its probe certificate expires at the same time as the CA", async (t) => {
  const old = await authority("old", hourMillis);
  const { node, probes } = member(next);
  t.strictSame(await proveRotation([{ node }], { ...options, rotation: { old, next } }), [
    `a certificate from the new CA is accepted by: ${all}`,
    `a certificate from the old CA is refused by: ${all}`,
  ]);
  const { publicKey, validTo } = new X509Certificate(old.certificate);
  const former = probes.filter((probe) => probe.verify(publicKey));
  t.strictSame(
    former.map((probe) => probe.validTo),
    [validTo],
  );
});

t.test("an expired old CA is not checked, but the new CA is still checked", async (t) => {
  const old = await authority("old", -hourMillis);
  for (const verdict of ["accepted", "refused"] as const) {
    const { node } = member(next);
    const lines = await proveRotation([{ node }], {
      ...options,
      expected: { ...options.expected, old: verdict },
      rotation: { old, next },
    });
    t.equal(lines.length, 2);
    t.match(lines[1], /^the old CA expired on \d{4}-\d\d-\d\d; no server accepts its certificates$/);
  }
  const { node } = member(old);
  await t.rejects(proveRotation([{ node }], { ...options, rotation: { old, next } }), { code: "VERIFY_FAILED" });
});

t.test("the check fails unless the agent's report covers each server exactly once", async (t) => {
  const old = await authority("old", dayMillis);
  for (const reports of [["kube-apiserver"], [], ["kube-apiserver", "etcd", "etcd"], [...servers, "etcd"]]) {
    const { node } = member(next, { reports });
    await t.rejects(proveRotation([member(next), { node }], { ...options, rotation: { old, next } }), {
      code: "VERIFY_FAILED",
      node: "controller-0",
      message: /^the agent reports about .*, not about etcd, etcd-peer, kube-apiserver$/,
    });
  }
});

t.test("a closed connection counts as a refusal only if the server keeps accepting the new CA", async (t) => {
  const old = await authority("old", dayMillis);
  const { node } = member(next, { endsAfter: 1 });
  await t.rejects(proveRotation([{ node }], { ...options, rotation: { old, next } }), {
    code: "VERIFY_FAILED",
    message: "etcd refuses a certificate that must be accepted",
  });
});
