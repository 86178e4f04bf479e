import t from "tap";
import { memberTable } from "../../../../client/etcd/tables.ts";
import { EtcdMember } from "../../../../proto/gen/khw/agent/v1/etcd.ts";

t.test("what a member calls itself cannot move the terminal's cursor", async (t) => {
  const member = EtcdMember.fromPartial({ memberId: "a\u001b[2J", version: "3.4.15\u0007" });
  const table = await memberTable([{ node: "controller-0", status: { member, reason: "", restore: undefined } }]);
  t.match(table, /controller-0 +a\u{fffd}\[2J.*3\.4\.15\u{fffd}/u);
  t.notMatch(table.split("\n").at(-1), /[^\n\P{Cc}]/u);
});
