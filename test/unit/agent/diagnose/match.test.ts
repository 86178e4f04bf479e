import { readFile } from "node:fs/promises";
import { join } from "node:path";
import t from "tap";
import { causes } from "../../../../agent/diagnose/causes.ts";
import { causeTable } from "../../../../agent/diagnose/table.ts";
import type { Evidence } from "../../../../agent/diagnose/evidence.ts";
import { match } from "../../../../agent/diagnose/match.ts";
import { mistakes } from "../../../fixtures/causes/mistakes.ts";

interface Recorded {
  readonly cause: string;
  readonly evidence: Omit<Evidence, "flags"> & { readonly flags: Readonly<Record<string, string>> };
}

const root = join(import.meta.dirname, "../../../..");
const recorded: Readonly<Record<string, Recorded>> = JSON.parse(
  await readFile(join(root, "test/fixtures/causes/recorded.json"), "utf8"),
);

const evidenceOf = (component: string, starts: readonly (readonly string[])[]): Evidence => ({
  component,
  unit: `${component}.service`,
  starts,
  flags: new Map(),
});
const causeOf = (component: string, ...lines: readonly string[]): string => match(evidenceOf(component, [lines])).cause;

t.test("what real programs wrote when they met a mistake is named for what it is", (t) => {
  for (const { name, cause, line, says } of mistakes) {
    const record = recorded[name ?? cause];
    t.ok(record, `${name ?? cause} is recorded`);
    if (record === undefined) continue;
    const { flags, ...evidence } = record.evidence;
    const diagnosis = match({ ...evidence, flags: new Map(Object.entries(flags)) });
    t.equal(diagnosis.cause, cause, name ?? cause);
    t.match(diagnosis.lines.join("\n"), line);
    t.match(`${diagnosis.message}\n${diagnosis.remedy}`, says);
    t.notMatch(`${diagnosis.message}${diagnosis.remedy}`, /[{}]|undefined/);
  }
  t.end();
});

t.test("what cannot be provoked in a container is told from systemd's words", (t) => {
  const killed = "kube-apiserver.service: Main process exited, code=killed, status=9/KILL";
  const oom = "kube-apiserver.service: A process of this unit has been killed by the OOM killer.";
  t.equal(causeOf("kube-apiserver", oom, killed), "out-of-memory");
  t.equal(causeOf("kube-apiserver", killed, "kube-apiserver.service: Failed with result 'oom-kill'."), "out-of-memory");
  t.equal(causeOf("kube-apiserver", killed), "killed");
  t.end();
});

t.test("a cause counts for its own components alone", (t) => {
  const line = "Error: context deadline exceeded";
  t.equal(causeOf("kube-apiserver", line), "etcd-no-quorum");
  t.equal(causeOf("kube-scheduler", line), "unknown");
  t.end();
});

t.test("the newest start that tells anything counts", (t) => {
  const began = ["Started kube-apiserver.service - Kubernetes API Server."];
  const flag = ["Error: unknown flag: --old"];
  const port = ["Error: failed to create listener: listen tcp 0.0.0.0:6443: bind: address already in use"];
  t.equal(match(evidenceOf("kube-apiserver", [flag, port, began])).cause, "port-in-use");
  t.equal(match(evidenceOf("kube-apiserver", [port, flag])).cause, "unknown-flag");
  t.end();
});

t.test("an API server that etcd left is not called by what follows from it", (t) => {
  const dialing =
    'W1123 22:56:50.046037    1143 clientconn.go:1223] grpc: addrConn.createTransport failed to connect to {https://10.240.0.10:2379  <nil> 0 <nil>}. Err :connection error: desc = "transport: Error while dialing dial tcp 10.240.0.10:2379: connect: connection refused". Reconnecting...';
  const lines = [dialing, "Error: context deadline exceeded"];
  const follows = [
    "kube-apiserver.service: Main process exited, code=exited, status=1/FAILURE",
    "kube-apiserver.service: Start request repeated too quickly.",
  ];
  const evidence = evidenceOf("kube-apiserver", [[...lines, ...follows]]);
  t.match(match(evidence), { cause: "etcd-unreachable", lines });
  const answers = [
    { server: "https://10.240.0.10:2379", status: 0, body: "connect ECONNREFUSED" },
    { server: "https://10.240.0.11:2379", status: 503, body: '{"health":"false"}' },
  ];
  t.equal(match({ ...evidence, etcd: answers }).cause, "etcd-no-quorum", "one that answers has no quorum");
  t.end();
});

t.test("an unknown cause shows what complains rather than what came last", (t) => {
  const fatal = "F1123 22:58:03.150858    1756 main.go:1] the moon is in the wrong phase";
  const after = "kube-scheduler.service: Failed with result 'exit-code'.";
  const diagnosis = match(evidenceOf("kube-scheduler", [["I1123 begun", fatal, "I1123 ended", after]]));
  t.strictSame(diagnosis, {
    cause: "unknown",
    message: "kube-scheduler ends by itself, for a reason that is not known",
    remedy: "",
    lines: [fatal],
  });
  t.strictSame(match(evidenceOf("kube-scheduler", [])).lines, []);
  t.strictSame(match(evidenceOf("nginx", [["all is quiet"], ["Started nginx.service - nginx."]])).lines, [
    "all is quiet",
  ]);
  t.equal(match({ ...evidenceOf("etcd", [[after]]), full: "/var/lib/etcd" }).cause, "disk-full");
  t.end();
});

t.test("every cause is in the documentation, with its own words", async (t) => {
  const text = await readFile(join(root, "docs/crash-loops.md"), "utf8");
  t.ok(text.includes(causeTable(causes)), `docs/crash-loops.md shall hold this table:\n${causeTable(causes)}`);
});
