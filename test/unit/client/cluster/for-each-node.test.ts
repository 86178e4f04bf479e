import { setTimeout } from "node:timers/promises";
import t from "tap";
import type { Member } from "../../../../client/cluster/open.ts";
import { connectNode } from "../../../../client/cluster/agent-client.ts";
import { forEachNode } from "../../../../client/cluster/for-each-node.ts";
import { createAuthority } from "../../../../client/pki/management/issue.ts";
import { KhwError } from "../../../../proto/errors.ts";

const { certificate, key } = await createAuthority(new Date());
const identity = { ca: Buffer.from(certificate), certificate: Buffer.from(certificate), key: Buffer.from(key) };
const member = (index: number): Member => ({
  node: connectNode({ name: `controller-${index}`, host: "127.0.0.1", port: 1 }, identity),
});
const members = Array.from({ length: 7 }, (_, index) => member(index));

t.test("nodes are called in parallel up to a limit, and the results have the same order as the members", async (t) => {
  let [running, most] = [0, 0];
  const answers = await forEachNode(members, 3, async ({ address: { name } }) => {
    most = Math.max(most, ++running);
    await setTimeout(name === "controller-0" ? 20 : 1);
    running -= 1;
    return name.toUpperCase();
  });
  t.equal(most, 3);
  t.same(
    answers.map(({ name, value }) => `${name}=${value}`),
    members.map(({ node: { address } }) => `${address.name}=${address.name.toUpperCase()}`),
  );
});

t.test("a failed or missing member does not affect the results of the other members", async (t) => {
  const away = new KhwError("UNREACHABLE", "away");
  const [first, second, third] = members;
  if (first === undefined || second === undefined || third === undefined) throw new Error("no members");
  const tried: string[] = [];
  const answers = await forEachNode([first, { ...second, error: away }, third], 50, async ({ address: { name } }) => {
    tried.push(name);
    if (name === "controller-2") throw new KhwError("BUSY", "busy");
    return 1;
  });
  t.match(answers, [
    { value: 1 },
    { error: { code: "UNREACHABLE" } },
    { error: { code: "BUSY", node: "controller-2" } },
  ]);
  t.same(tried, ["controller-0", "controller-2"]);
});
