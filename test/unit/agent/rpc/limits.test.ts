import t from "tap";
import { type CallBounds, limitCalls } from "../../../../agent/rpc/call-limits.ts";
import { type ConnectionBounds, limitConnections } from "../../../../agent/rpc/connection-limits.ts";
import { countRefusedPeers } from "../../../../agent/rpc/refused-peers.ts";
import { KhwError } from "../../../../proto/errors.ts";
import { decodeRefusal, encodeRefusal } from "../../../../proto/refusal.ts";

const few: ConnectionBounds = {
  handshakes: 3,
  handshakesOfAddress: 2,
  burst: 4,
  perSecond: 1,
  connections: 4,
  connectionsOfOthers: 2,
  connectionsOfAddress: 3,
  connectionsOfCaller: 2,
};

const socket = (name: string, destroyed: string[]) => ({ destroy: () => destroyed.push(name) });

t.test(
  "at the limit for an address, its oldest handshake is closed, and at the overall limit, the oldest of all is closed",
  (t) => {
    const destroyed: string[] = [];
    const limits = limitConnections(few, () => 0);
    const begin = (name: string, address: string) => limits.begin(socket(name, destroyed), address);
    t.ok(begin("a1", "a") && begin("a2", "a"));
    t.strictSame(destroyed, []);
    t.ok(begin("a3", "a"));
    t.strictSame(destroyed, ["a1"]);
    t.ok(begin("b1", "b") && begin("c1", "c"));
    t.strictSame(
      destroyed,
      ["a1", "a2"],
      "the last caller is accepted, and only the address with the most connections loses a connection",
    );
    t.end();
  },
);

t.test(
  "an address that starts too many handshakes is refused for a while, but other addresses are still accepted",
  (t) => {
    let now = 0;
    const limits = limitConnections(few, () => now);
    const begin = (address: string): boolean => {
      const one = socket("", []);
      const begun = limits.begin(one, address);
      limits.end(one);
      return begun;
    };
    t.strictSame(
      Array.from({ length: 6 }, () => begin("a")),
      [true, true, true, true, false, false],
    );
    t.ok(begin("b"));
    now = 1_000;
    t.strictSame([begin("a"), begin("a")], [true, false]);
    for (let address = 0; address < 2_000; address++) begin(`crowd ${address}`);
    t.ok(begin("a"), "the address that has been inactive for the longest time is forgotten first");
    t.end();
  },
);

t.test("connections are counted by certificate, by address, by role and in total", (t) => {
  const limits = limitConnections(few);
  const enter = (caller: string, address: string, role: "admin" | "viewer" = "admin") =>
    limits.enter({ caller, address, role });
  const full = (message: RegExp) => ({ code: "RESOURCE_EXHAUSTED", message, hint: /stop programs/ });
  const leave = enter("1", "a");
  enter("1", "b");
  t.throws(() => enter("1", "c"), full(/^2 connections with this certificate/));
  leave();
  leave();
  enter("2", "a", "viewer");
  enter("3", "a", "viewer");
  t.throws(() => enter("4", "b", "viewer"), full(/^2 connections from all callers except administrators/));
  enter("5", "a");
  t.throws(() => enter("6", "a"), full(/^3 connections from this address/));
  t.throws(() => enter("6", "b"), full(/^4 connections from all callers/));
  t.end();
});

t.test("calls are counted by caller, by method and in total", (t) => {
  const bounds: CallBounds = {
    ofAll: 4,
    ofCaller: 3,
    methods: new Map([["/watch", { kind: "watchers", ofAll: 2, ofCaller: 1 }]]),
  };
  const limits = limitCalls(bounds);
  const full = (message: RegExp) => ({ code: "RESOURCE_EXHAUSTED", message, hint: /stop one of them/ });
  const leave = limits.enter("/watch", "a");
  t.throws(() => limits.enter("/watch", "a"), full(/^1 watchers with this certificate are already running$/));
  limits.enter("/watch", "b");
  t.throws(() => limits.enter("/watch", "c"), full(/^2 watchers from all callers are already running$/));
  leave();
  leave();
  limits.enter("/watch", "c");
  limits.enter("/get", "b");
  limits.enter("/get", "b");
  t.throws(() => limits.enter("/get", "d"), full(/^4 calls from all callers are already running$/));
  t.end();
});

t.test(
  "repeated refusals are logged once and then counted per minute, and many addresses share one log line",
  async (t) => {
    const lines: string[] = [];
    const refused = countRefusedPeers((line) => lines.push(line));
    for (let time = 0; time < 1_000; time++) refused.add("192.0.2.1", "no certificate");
    refused.add("192.0.2.2", "no certificate");
    t.strictSame(lines, [
      "refused a connection from 192.0.2.1: no certificate",
      "refused a connection from 192.0.2.2: no certificate",
    ]);
    for (let address = 0; address < 5_000; address++) refused.add(`crowd ${address}`, "no certificate");
    t.equal(lines.length, 257);
    t.match(lines.at(-1), /^refused a connection from other addresses/);
    refused.close();
    t.ok(lines.includes("refused 999 more connections from 192.0.2.1 within a minute: no certificate"));
    t.match(lines.at(-1), /^refused 47\d\d more connections from other addresses within a minute/);
  },
);

t.test("the caller receives the full text of a refusal, and no other error is mistaken for a refusal", (t) => {
  const error = new KhwError("UNAUTHENTICATED", "the caller presents\n no certificate", { hint: "pki issue" });
  t.match(decodeRefusal(encodeRefusal(error)), {
    code: "UNAUTHENTICATED",
    message: "the caller presents no certificate",
    hint: "pki issue",
  });
  t.match(decodeRefusal(encodeRefusal(new KhwError("RESOURCE_EXHAUSTED", "too many"))), { hint: undefined });
  const frame = encodeRefusal(error);
  for (const bytes of [Buffer.alloc(0), Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n"), frame.subarray(0, 9)]) {
    t.equal(decodeRefusal(bytes), undefined);
  }
  t.end();
});
