/** Interrupts rotations of the service account key at every point, in a cluster that signs tokens continuously. */
import t, { type Test } from "tap";

import { rotate } from "../../../../client/service-accounts/rotate.ts";
import { privateFile, publicFile } from "../../../../client/service-accounts/stage.ts";
import { splitPublicKeys } from "../../../../client/pki/token-keys.ts";
import { publicOf, tokenCluster, type TokenCluster } from "../../../fakes/token-cluster.ts";

const now = new Date("2026-01-31T12:00:00Z");
const later = new Date("2026-02-28T12:00:00Z");
const plain = { now, reissueTokens: false };
const dropping = { now: later, reissueTokens: false, dropOn: "2026-02-28" };

t.test("a rotation keeps both keys until the drop is requested, and then drops the old key", async (t) => {
  const cluster = tokenCluster();
  const old = cluster.files[privateFile];
  t.equal(await rotate(cluster.parts(), plain), false);
  t.equal(splitPublicKeys(cluster.files[publicFile]).length, 2);
  t.not(cluster.files[privateFile], old);
  t.match(cluster.notes.at(-1), /the rotation waits, .* --drop-on DATE/);
  t.equal(await rotate(cluster.parts(), dropping), true);
  checkEnd(t, cluster, old);
  const { length } = cluster.log;
  t.equal(await rotate(cluster.parts(), dropping), true);
  t.match(cluster.notes.at(-1), /nothing to do: .* the last rotation has ended, and its files are in/);
  t.equal(cluster.log.length, length, "a repetition of the last command changes nothing");
});

t.test("wherever a rotation is killed, repeating the commands completes it with the same result", async (t) => {
  const whole = tokenCluster();
  await rotate(whole.parts(), plain);
  const first = whole.log.length;
  await rotate(whole.parts(), dropping);
  t.comment(`${first} and ${whole.log.length - first} actions`);
  for (let action = 0; action < first; action++) {
    const cluster = tokenCluster();
    const old = cluster.files[privateFile];
    await t.rejects(
      rotate(cluster.parts(action), plain),
      { name: "Killed" },
      `the rotation fails because it was killed before action ${action}`,
    );
    t.equal(await rotate(cluster.parts(), plain), false);
    t.equal(await rotate(cluster.parts(), dropping), true);
    checkEnd(t, cluster, old);
  }
  for (let action = 0; action < whole.log.length - first; action++) {
    const cluster = tokenCluster();
    const old = cluster.files[privateFile];
    await rotate(cluster.parts(), plain);
    await rotate(cluster.parts(action), dropping).catch((error: unknown) => t.match(error, { name: "Killed" }));
    t.equal(await rotate(cluster.parts(), dropping), true);
    checkEnd(t, cluster, old);
  }
});

function checkEnd(t: Test, { files, nodes, rotation, log }: TokenCluster, old: string): void {
  t.equal(rotation, undefined, "no rotation is under way");
  t.not(files[privateFile], old);
  t.equal(splitPublicKeys(files[publicFile]).length, 1, "one key remains");
  t.equal(files[publicFile].trim(), publicOf(files[privateFile]).trim(), "the remaining key is the signing key");
  for (const node of nodes) t.strictSame(node, files);
  t.ok(log.includes("prove accepted"), "a token signed with the old key is accepted at first");
  t.ok(
    log.lastIndexOf("prove refused") > log.indexOf("prove accepted"),
    "a token signed with the old key is refused at the end",
  );
}

t.test("with --reissue-tokens, old Secrets are deleted only after the old key is no longer accepted", async (t) => {
  const cluster = tokenCluster();
  t.equal(await rotate(cluster.parts(), { ...plain, reissueTokens: true }), false);
  t.strictSame(cluster.rotation?.progress.replaced, ["default/old-token"]);
  t.notOk(cluster.log.some((action) => action.startsWith("delete")));
  t.equal(await rotate(cluster.parts(), dropping), true);
  t.ok(cluster.log.indexOf("delete default/old-token") > cluster.log.lastIndexOf("prove refused"));
});

t.test("the old key is kept until the given date, and the date is remembered", async (t) => {
  const cluster = tokenCluster();
  await rotate(cluster.parts(), plain);
  t.equal(await rotate(cluster.parts(), { ...plain, dropOn: "2026-02-28" }), false);
  t.match(cluster.notes.at(-1), /run this command again on 2026-02-28 or later/);
  t.equal(await rotate(cluster.parts(), { ...plain, now: new Date("2026-02-27T23:59:59Z") }), false);
  t.equal(await rotate(cluster.parts(), { ...plain, now: later }), true);
});

t.test("the uses of the old key are listed by name", async (t) => {
  const cluster = tokenCluster();
  cluster.uses = {
    secrets: [{ namespace: "default", name: "ci-token", serviceAccount: "ci", pods: 1 }],
    workloads: [{ namespace: "web", kind: "Deployment", name: "shop", pods: 3, why: "started before 2026" }],
  };
  await rotate(cluster.parts(), plain);
  t.ok(
    cluster.notes.includes("old key: the Secret default/ci-token has a token of the service account ci; 1 pod uses it"),
  );
  t.ok(
    cluster.notes.includes(
      "restart: Deployment web/shop (3 pods): started before 2026, so it may hold a token signed with the old key",
    ),
  );
});

t.test(
  "a drop date is refused without any change if it is in the past or if the old key's uses have not been listed",
  async (t) => {
    const cluster = tokenCluster();
    await t.rejects(rotate(cluster.parts(), dropping), { code: "INVALID_ARGUMENT", message: /not been listed yet/ });
    t.strictSame(cluster.log, []);
    await rotate(cluster.parts(), plain);
    const before = cluster.log.length;
    await t.rejects(rotate(cluster.parts(), { ...plain, dropOn: "2026-01-30" }), {
      code: "INVALID_ARGUMENT",
      message: /2026-01-30 is in the past/,
    });
    t.equal(cluster.log.length, before);
  },
);

t.test("the rotation does not start if a node's keys differ from the keys in the folder", async (t) => {
  const cluster = tokenCluster();
  cluster.nodes[1] = tokenCluster().files;
  await t.rejects(rotate(cluster.parts(), plain), { code: "NODES_DIFFER", node: "controller-1" });
  t.strictSame(cluster.log, []);
});

t.test("a node whose keys differ while the rotation waits is updated before the old key is dropped", async (t) => {
  const cluster = tokenCluster();
  const before = cluster.nodes[1];
  await rotate(cluster.parts(), plain);
  if (before !== undefined) cluster.nodes[1] = { ...before, [publicFile]: cluster.files[publicFile] };
  t.equal(await rotate(cluster.parts(), dropping), true);
});
