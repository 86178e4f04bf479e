import t from "tap";

import { jsonProgress } from "../../../client/progress/json.ts";
import type { ProgressEvent } from "../../../client/progress/progress.ts";
import { createTally } from "../../../client/progress/tally.ts";
import { eventName, fromTheWorkOn } from "../../crash/events.ts";

/** Returns the name that the crash suite derives from the client's output for an event. */
function nameOf(event: ProgressEvent): string | undefined {
  let printed = "";
  jsonProgress((text) => (printed += text), createTally()).emit(event);
  return eventName(printed);
}

t.test("the name that is derived from a client's event contains no time", async (t) => {
  t.equal(nameOf({ kind: "note", text: "done" }), "note done");
  t.equal(nameOf({ kind: "begin", tracks: ["controller-0"] }), "begin");
  t.equal(nameOf({ kind: "end", track: "controller-0", changed: 3 }), "end controller-0");
  t.equal(nameOf({ kind: "check", title: "it answers" }), "check it answers");
});

t.test("progress events within a step are ignored", async (t) => {
  t.equal(nameOf({ kind: "loadBalancer", event: { kind: "progress", step: "address", text: "half" } }), undefined);
});

t.test("the recorded events of a run with existing certificates start with the work on the nodes", async (t) => {
  const events = [
    { name: "note a CA was made", at: 400 },
    { name: "begin", at: 1_000 },
    { name: "node operationStarted", at: 1_030 },
  ];
  t.strictSame(fromTheWorkOn(events), [
    { name: "begin", at: 600 },
    { name: "node operationStarted", at: 630 },
  ]);
});
