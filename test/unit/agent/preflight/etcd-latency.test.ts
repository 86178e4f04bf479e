import t from "tap";
import { checkLatency } from "../../../../agent/preflight/etcd-latency.ts";
import { createFakeOs } from "../../../fakes/os.ts";
import { labDesiredWithEtcd, never } from "../../../fixtures/machine.ts";

const desired = labDesiredWithEtcd();

t.test("a fast disk and nearby controllers produce no finding", async (t) => {
  t.strictSame(await checkLatency(desired, createFakeOs(), never), []);
});

t.test("disk latency is judged by the second-slowest of 100 writes", async (t) => {
  const os = createFakeOs();
  os.writes = [...Array.from({ length: 99 }, () => 9.9), 500];
  t.strictSame(await checkLatency(desired, os, never), []);
  os.writes = [...Array.from({ length: 98 }, () => 1), 23.4, 500];
  t.match(await checkLatency(desired, os, never), [
    {
      message: /^a small write to \/var\/lib\/etcd takes 23\.4 ms to reach the disk .* at most 10 ms$/,
      hint: /SSD/,
      node: "controller-0",
    },
  ]);
});

t.test("each controller that responds too slowly or not at all is reported", async (t) => {
  const os = createFakeOs();
  os.distant.set("10.240.0.11", 140);
  os.distant.set("10.240.0.12", undefined);
  t.match(await checkLatency(desired, os, never), [
    { message: "controller-1 takes 140 ms to answer (median of 5), but etcd's heartbeat interval is 100 ms" },
    { message: "controller-2 does not answer at 10.240.0.12:2380", hint: /2379 and 2380/ },
  ]);
});
