import t from "tap";
import { createStatusStore } from "../../../../agent/state/status-store.ts";
import { sendChanges } from "../../../../agent/rpc/watch.ts";
import { GetStatusResponse, type WatchStatusResponse } from "../../../../proto/gen/khw/agent/v1/agent.ts";
import { component } from "../../../fixtures/status.ts";

t.test(
  "100,000 unread status changes are merged into a single pending change with the newest value of each part",
  async (t) => {
    const statusStore = createStatusStore(undefined);
    const written: WatchStatusResponse[] = [];
    const taken: (() => void)[] = [];
    const call = {
      write: (message: WatchStatusResponse, done?: () => void) => {
        written.push(message);
        if (done !== undefined) taken.push(done);
        return false;
      },
    };
    const gone = new AbortController();
    const watching = sendChanges(GetStatusResponse.fromPartial({}), { statusStore, call, gone: gone.signal });
    for (let pid = 1; pid <= 100_000; pid++) {
      statusStore.publish({ components: [component(pid % 2 === 0 ? "nginx" : "etcd", { pid })] });
    }
    t.equal(written.length, 1, "while the reader is busy, only the initial full status has been sent");
    taken.shift()?.();
    t.equal(written.length, 2);
    t.match(written[1], {
      kind: {
        $case: "change",
        value: {
          components: [
            { name: "etcd", pid: 99_999 },
            { name: "nginx", pid: 100_000 },
          ],
        },
      },
    });
    taken.shift()?.();
    t.equal(written.length, 2, "nothing else was queued");
    statusStore.publish({ components: [component("nginx", { pid: 7 })] });
    t.equal(written.length, 3, "a fast reader gets each change at once");
    gone.abort(new Error("gone"));
    await t.rejects(watching, { message: "gone" });
    statusStore.publish({ components: [component("nginx", { pid: 8 })] });
    t.equal(written.length, 3);
  },
);
