/** Interrupts rotations of the cluster's CA at every point, in a cluster whose members call each other continuously. */
import t, { type Test } from "tap";

import { rotateCa } from "../../../../client/cluster-ca/rotate.ts";
import { createClusterAuthority } from "../../../../client/pki/cluster/issue.ts";
import { caCluster, type CaCluster } from "../../../fakes/ca-cluster.ts";

const [plain, reissue, dropOld] = [
  { reissue: false, dropOld: false },
  { reissue: true, dropOld: false },
  { reissue: false, dropOld: true },
];
const create = () => createClusterAuthority("cluster", { algorithm: "ecdsa", days: 100 }, new Date());
const authorities = { old: await create(), next: await create() };
const { old, next } = authorities;

const commands = [
  { options: plain, adapt: () => {} },
  {
    options: reissue,
    adapt: (cluster: CaCluster) =>
      (cluster.client = { ca: old.certificate + next.certificate, issuer: old.certificate }),
  },
  {
    options: dropOld,
    adapt: (cluster: CaCluster) => (cluster.client = { ca: next.certificate, issuer: next.certificate }),
  },
];

t.test("a rotation pauses twice and then drops the old CA", async (t) => {
  const cluster = caCluster(authorities);
  t.equal(await rotateCa(cluster.parts(), plain), false);
  t.match(cluster.notes.at(-1), /waits until every client trusts both CAs; .* --reissue/);
  t.equal(cluster.files.issuer, old.certificate, "the certificates are unchanged");
  cluster.client = { ...cluster.client, ca: old.certificate + next.certificate };
  t.equal(await rotateCa(cluster.parts(), reissue), false);
  t.match(cluster.notes.at(-1), /waits until every certificate .* --drop-old/);
  cluster.client = { ...cluster.client, issuer: next.certificate };
  t.equal(await rotateCa(cluster.parts(), dropOld), true);
  checkEnd(t, cluster);
  const { length } = cluster.log;
  t.equal(await rotateCa(cluster.parts(), dropOld), true);
  t.match(cluster.notes.at(-1), /nothing to do: .* the last rotation has ended, and its files are in/);
  t.equal(cluster.log.length, length, "a repetition of the last command changes nothing");
});

t.test("a rotation that is killed before any action can be completed with the same commands", async (t) => {
  const whole = caCluster(authorities);
  const counts: number[] = [];
  for (const { options, adapt } of commands) {
    adapt(whole);
    const before = whole.log.filter((action) => !action.startsWith("prove")).length;
    await rotateCa(whole.parts(), options);
    counts.push(whole.log.filter((action) => !action.startsWith("prove")).length - before);
  }
  t.comment(`${counts.join(", ")} actions`);
  for (const [command, count] of counts.entries()) {
    for (let action = 0; action < count; action++) {
      const cluster = caCluster(authorities);
      for (const [index, { options, adapt }] of commands.entries()) {
        adapt(cluster);
        if (index === command) await t.rejects(rotateCa(cluster.parts(action), options), { name: "Killed" });
        t.equal(
          await rotateCa(cluster.parts(), options),
          index === 2,
          `command ${index} finishes the rotation only if it is the last (killed: command ${command}, action ${action})`,
        );
      }
      checkEnd(t, cluster);
    }
  }
});

function checkEnd(t: Test, { files, nodes, rotation, log }: CaCluster): void {
  t.equal(rotation, undefined, "no rotation is under way");
  t.strictSame(files, { ca: next.certificate, issuer: next.certificate });
  for (const node of nodes) t.strictSame(node, { files, started: files.ca });
  t.ok(log.lastIndexOf("prove old refused") > log.lastIndexOf("prove old accepted"));
}

t.test("without a pause, a client that trusts only the old CA would be cut off", async (t) => {
  const cluster = caCluster(authorities);
  await rotateCa(cluster.parts(), plain);
  await t.rejects(rotateCa(cluster.parts(), reissue), { message: "a caller refuses controller-0" });
});

t.test("a rotation step that is requested too early is refused and changes nothing", async (t) => {
  const cluster = caCluster(authorities);
  await t.rejects(rotateCa(cluster.parts(), reissue), { code: "INVALID_ARGUMENT", message: /^--reissue: not every/ });
  await t.rejects(rotateCa(cluster.parts(), dropOld), { code: "INVALID_ARGUMENT", message: /^--drop-old: not every/ });
  t.strictSame(cluster.log, []);
  await t.rejects(rotateCa(cluster.parts(3), plain), { name: "Killed" });
  const before = cluster.log.length;
  await t.rejects(rotateCa(cluster.parts(), reissue), { code: "INVALID_ARGUMENT" });
  await t.rejects(rotateCa(cluster.parts(), { reissue: true, dropOld: true }), { code: "INVALID_ARGUMENT" });
  t.equal(cluster.log.length, before);
});

t.test("no rotation starts if a node differs from its desired state", async (t) => {
  const cluster = caCluster(authorities);
  const { ca } = cluster.files;
  cluster.nodes[1] = { files: { ca: `${ca}\n`, issuer: ca }, started: ca };
  await t.rejects(rotateCa(cluster.parts(), plain), { code: "NODES_DIFFER", node: "controller-1" });
  t.strictSame(cluster.log, []);
});

t.test(
  "a node that is replaced while the rotation pauses gets both CAs before any certificate is reissued",
  async (t) => {
    const cluster = caCluster(authorities);
    await rotateCa(cluster.parts(), plain);
    cluster.client = { ca: old.certificate + next.certificate, issuer: old.certificate };
    cluster.nodes[2] = { files: { ca: old.certificate, issuer: old.certificate }, started: old.certificate };
    t.equal(await rotateCa(cluster.parts(), reissue), false);
  },
);

t.test("clients and certificates that khw does not manage are listed by name", async (t) => {
  const cluster = caCluster(authorities);
  cluster.outside = {
    nodes: ["worker-0", "worker-1"],
    workloads: [{ namespace: "web", kind: "Deployment", name: "shop", pods: 1, why: "started before 2026" }],
    requests: ["csr-1"],
    objects: [
      { name: "ValidatingWebhookConfiguration policy", hasNew: false },
      { name: "ConfigMap kube-public/cluster-info", hasNew: true },
    ],
  };
  await rotateCa(cluster.parts(), plain);
  const first = cluster.notes.join("\n");
  t.match(first, "restart: Deployment web/shop (1 pod): started before 2026, so it may trust only the old CA");
  t.match(first, /nodes worker-0, worker-1: the kubelet and kube-proxy need both CAs/);
  t.match(first, "ValidatingWebhookConfiguration policy has only the old CA: add the new CA");
  t.notMatch(first, /cluster-info has only/);
  cluster.client = { ca: old.certificate + next.certificate, issuer: old.certificate };
  await rotateCa(cluster.parts(), reissue);
  t.match(cluster.notes.join("\n"), "CertificateSigningRequest csr-1: its certificate is signed by the old CA");
});
