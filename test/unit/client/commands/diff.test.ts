import t from "tap";
import { diffNodes } from "../../../../client/commands/diff.ts";
import { unifiedDiff } from "../../../../client/terminal/unified-diff.ts";
import { GetPlanResponse } from "../../../../proto/gen/khw/agent/v1/agent.ts";
import { createFakeCluster } from "../../../fakes/cluster.ts";

const path = "/etc/systemd/system/kube-scheduler.service";
const edited = GetPlanResponse.fromPartial({
  steps: [
    { id: "unit/kube-scheduler", title: "the unit is there", drift: "its text differs" },
    { id: "credential/ca-key.pem", title: "ca-key.pem is there", drift: "mode is 0644, not 0600" },
    { id: "nginx/site", title: "the site is there" },
  ],
  differences: [{ step: "unit/kube-scheduler", path, found: "a\nb\nc\n", wanted: "a\nB\nc\n" }],
});

async function run(output: "text" | "json", plan?: GetPlanResponse, terminal = false) {
  const cluster = await createFakeCluster(["controller-0", "controller-1"]);
  if (plan !== undefined && cluster.nodes[1] !== undefined) cluster.nodes[1].plan = plan;
  let text = "";
  const context = {
    write: (more: string) => void (text += more),
    warn: () => {},
    terminal,
    env: {},
    signal: new AbortController().signal,
  };
  return { cluster, code: await diffNodes(cluster, context, { output, nodes: [] }), text };
}

t.test("without drift nothing is printed, and the exit code is 0", async (t) => {
  t.match(await run("text"), { code: 0, text: "" });
});

t.test("drift is shown as a unified diff from the current to the desired text, with exit code 1", async (t) => {
  t.match(await run("text", edited), {
    code: 1,
    text: `controller-1: unit/kube-scheduler: its text differs
--- ${path}\ton controller-1
+++ ${path}\tdesired
@@ -1,3 +1,3 @@
 a
-b
+B
 c
controller-1: credential/ca-key.pem: mode is 0644, not 0600
`,
  });
});

t.test("the JSON output is a single document", async (t) => {
  const { code, text } = await run("json", edited);
  t.equal(code, 1);
  t.match(JSON.parse(text), {
    nodes: [
      { node: "controller-0", steps: [] },
      { node: "controller-1", steps: [{ id: "unit/kube-scheduler" }, {}], differences: [{ path, diff: /^--- / }] },
    ],
  });
});

t.test("colors are used only on terminals", async (t) => {
  t.match((await run("text", edited, true)).text, "\u001b[31m-b\u001b[39m");
  t.notMatch((await run("text", edited)).text, "\u001b");
});

t.test("a failed check or an unreachable agent is reported as an error after the other differences", async (t) => {
  const failed = GetPlanResponse.fromPartial({
    steps: [{ id: "package/nginx", title: "", error: { code: "PACKAGE_FAILED", message: "dpkg does not answer" } }],
  });
  await t.rejects(run("text", failed), { code: "PACKAGE_FAILED", node: "controller-1" });
});

t.test("the diff shows a missing file as /dev/null, and marks a missing newline at the end of a file", async (t) => {
  const options = { node: "controller-0", colours: false };
  t.match(unifiedDiff({ path, wanted: "a\n" }, options), /^--- \/dev\/null\t.*\n\+\+\+ .*\n@@ -0,0 \+1,1 @@\n\+a\n$/);
  t.match(unifiedDiff({ path, found: "a", wanted: "a\n" }, options), "\\ No newline at end of file");
});

t.test("two long texts without common lines are not compared line by line", async (t) => {
  const long = (word: string): string => Array.from({ length: 20_000 }, (_, index) => `${word} ${index}\n`).join("");
  t.equal(
    unifiedDiff({ path, found: long("a"), wanted: long("b") }, { node: "controller-0", colours: false }),
    `${path} on controller-0 differs in too many lines to show\n`,
  );
});
