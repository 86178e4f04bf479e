import t from "tap";
import { doubtOf, doubtOwnView } from "../../../../agent/health/own-view.ts";
import { createFakeOs } from "../../../fakes/os.ts";
import { never } from "../../../fixtures/machine.ts";

const sound = { loopback: null, lateMillis: 3, freeBytes: 1e9, memoryShare: 0.3 };

t.test("the agent distrusts its own observations if a fault affects the agent itself", async (t) => {
  t.equal(doubtOf(sound), null);
  t.match(doubtOf({ ...sound, loopback: "connect EMFILE" }), /its own listener: connect EMFILE/);
  t.match(doubtOf({ ...sound, lateMillis: 2500 }), /2500 ms late/);
  t.match(doubtOf({ ...sound, freeBytes: 10 * 1024 * 1024 }), /10 MiB of memory left/);
  t.match(doubtOf({ ...sound, memoryShare: 0.99 }), /memory limit of its unit/);
});

t.test("the agent detects its own faults from measurements on the machine", async (t) => {
  const os = createFakeOs();
  t.equal(await doubtOwnView(os, never), null);
  os.self = { ...sound, loopback: "connect ENETUNREACH 127.0.0.1:4711" };
  t.match(await doubtOwnView(os, never), /ENETUNREACH/);
});
