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

t.test("the correct cause is found in the recorded output of real programs", (t) => {
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

t.test("a crash is not reported as the cause if a deliberate stop and a new start followed it", (t) => {
  const crashed = [
    "panic: this release is broken",
    "kube-apiserver.service: Main process exited, code=exited, status=2/INVALIDARGUMENT",
  ];
  const stopped = ["Started Kubernetes API Server.", "Stopping Kubernetes API Server..."];
  const hanging = ["Started Kubernetes API Server."];
  const cause = (...starts: readonly (readonly string[])[]): string =>
    match(evidenceOf("kube-apiserver", starts)).cause;
  t.equal(cause(crashed, stopped, hanging), "unknown");
  t.equal(
    cause(crashed, hanging),
    "program-crashed",
    "a crash is the cause even if the program was started again only seconds ago",
  );
  t.equal(cause(stopped, crashed, hanging), "program-crashed");
  t.equal(
    cause([...crashed, ...stopped]),
    "program-crashed",
    "the newest start is diagnosed even if the unit is being stopped",
  );
  t.end();
});

t.test("causes that cannot be provoked in a container are recognized from systemd's messages", (t) => {
  const killed = "kube-apiserver.service: Main process exited, code=killed, status=9/KILL";
  const oom = "kube-apiserver.service: A process of this unit has been killed by the OOM killer.";
  t.equal(causeOf("kube-apiserver", oom, killed), "out-of-memory");
  t.equal(causeOf("kube-apiserver", killed, "kube-apiserver.service: Failed with result 'oom-kill'."), "out-of-memory");
  t.equal(causeOf("kube-apiserver", killed), "killed");
  t.end();
});

t.test("if the dynamic loader or the kernel refuses to run a program, the diagnosis names this cause", (t) => {
  const systemd = "etcd.service: ";
  const cases: readonly [cause: string, line: string, says: RegExp][] = [
    [
      "library-too-old",
      "/usr/local/bin/etcd: /lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.34' not found (required by /usr/local/bin/etcd)",
      /\/usr\/local\/bin\/etcd needs GLIBC_2\.34.*libc\.so\.6/,
    ],
    [
      "library-missing",
      "/usr/local/bin/etcd: error while loading shared libraries: libpam.so.0: cannot open shared object file: No such file or directory",
      /needs the library libpam\.so\.0/,
    ],
    [
      "library-unusable",
      "/usr/local/bin/etcd: error while loading shared libraries: libpam.so.0: wrong ELF class: ELFCLASS32",
      /loader refuses its program \/usr\/local\/bin\/etcd/,
    ],
    [
      "library-unusable",
      "/usr/local/bin/etcd: symbol lookup error: /usr/local/bin/etcd: undefined symbol: x",
      /refuses/,
    ],
    ["binary-wrong-format", `${systemd}Failed to execute /usr/local/bin/etcd: Exec format error`, /architecture/],
    [
      "binary-wrong-format",
      `${systemd}Failed at step EXEC spawning /usr/local/bin/etcd: Exec format error`,
      /architecture/,
    ],
    ["binary-busy", `${systemd}Failed at step EXEC spawning /usr/local/bin/etcd: Text file busy`, /open for writing/],
    [
      "binary-not-executable",
      `${systemd}Failed at step EXEC spawning /usr/local/bin/etcd: Permission denied`,
      /chmod 755/,
    ],
    [
      "binary-missing",
      `${systemd}Unable to locate executable '/usr/local/bin/etcd': No such file or directory`,
      /does not exist/,
    ],
    [
      "processor-too-old",
      "This program can only be run on AMD64 processors with v3 microarchitecture support.",
      /newer/,
    ],
    ["binary-not-started", `${systemd}Main process exited, code=exited, status=203/EXEC`, /could not execute/],
    ["too-many-threads", "runtime: failed to create new OS thread (have 8 already; errno=11)", /TasksMax/],
    ["out-of-memory", "runtime: out of memory: cannot allocate 4194304-byte block (66322432 in use)", /memory/],
  ];
  for (const [cause, line, says] of cases) {
    const after = [`${systemd}Main process exited, code=exited, status=127/n/a`];
    const diagnosis = match(evidenceOf("etcd", [[line, ...after]]));
    t.equal(diagnosis.cause, cause, line);
    t.match(`${diagnosis.message}\n${diagnosis.remedy}`, says);
    t.notMatch(`${diagnosis.message}${diagnosis.remedy}`, /[{}]|undefined/);
    t.match(diagnosis.lines, [line]);
  }
  const refused = evidenceOf("etcd", [[`${systemd}Failed to execute /usr/local/bin/etcd: Permission denied`]]);
  t.match(match({ ...refused, program: { there: true, noexec: "/usr/local" } }), {
    cause: "binary-on-noexec",
    message: /is on \/usr\/local, which is mounted with noexec/,
  });
  const absent = evidenceOf("etcd", [
    [`${systemd}Failed at step EXEC spawning /usr/local/bin/etcd: No such file or directory`],
  ]);
  t.equal(match({ ...absent, program: { there: true } }).cause, "loader-missing");
  t.equal(match({ ...absent, program: { there: false } }).cause, "binary-missing");
  t.end();
});

t.test("a crashed Go program is reported with its panic line, not with the stack traces that follow", (t) => {
  const after = [
    "rax    0x0",
    "E1128 02:00:01.000000     812 reflector.go:138] late",
    "etcd.service: Main process exited, code=exited, status=2/INVALIDARGUMENT",
  ];
  const cases: readonly [cause: string, line: string][] = [
    ["program-crashed", "fatal error: fault"],
    ["program-crashed", "fatal error: concurrent map writes"],
    ["program-crashed", "panic: runtime error: invalid memory address or nil pointer dereference"],
    ["program-crashed", "[signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=0x461d21]"],
    ["program-crashed", "SIGSEGV: segmentation violation"],
    ["program-crashed", "unexpected fault address 0x7f3c1c2d3000"],
    ["ended-by-signal", "SIGABRT: abort"],
  ];
  for (const [cause, line] of cases) {
    const diagnosis = match(
      evidenceOf("kube-apiserver", [
        ["begun", line, ...(cause === "program-crashed" ? ["panic: again"] : []), ...after],
      ]),
    );
    t.equal(diagnosis.cause, cause, line);
    t.strictSame(diagnosis.lines, [line]);
  }
  const lost =
    "F1128 02:00:00.000000     812 client_builder_dynamic.go:152] rpc error: code = Unavailable desc = transport is closing";
  t.match(match(evidenceOf("kube-controller-manager", [[lost, ...after]])), {
    cause: "api-server-lost-etcd",
    lines: [lost],
  });
  t.end();
});

t.test("for an unknown cause, the program's fatal log line is shown first", (t) => {
  const late = Array.from({ length: 30 }, (_, index) => `E1128 02:00:01.0000${index}     812 x.go:1] late ${index}`);
  for (const fatal of [
    "F1128 02:00:00.000000     812 main.go:1] the moon is in the wrong phase",
    '{"level":"fatal","ts":"2026-11-28T02:00:00Z","caller":"etcdmain/etcd.go:203","msg":"discovery failed"}',
    '{"level":"panic","ts":"2026-11-28T02:00:00Z","caller":"etcdserver/x.go:1","msg":"no"}',
    "2026-11-28 02:00:00.000000 C | etcdmain: the moon is in the wrong phase",
  ]) {
    const { cause, lines } = match(evidenceOf("etcd", [["begun", fatal, ...late]]));
    t.equal(cause, "unknown");
    t.equal(lines.length, 8);
    t.equal(lines[0], fatal);
    t.equal(lines.at(-1), late.at(-1));
  }
  t.end();
});

t.test("a start with an unknown cause is not diagnosed from the log lines of an earlier or later start", (t) => {
  const fatal = "F1128 02:00:00.000000     812 main.go:1] the moon is in the wrong phase";
  const older = ["Error: unknown flag: --old", "kube-scheduler.service: Failed with result 'exit-code'."];
  const running = [
    "Started kube-scheduler.service - Kubernetes Scheduler.",
    "E1128 02:00:09.000000 9 x.go:1] a warning",
  ];
  for (const starts of [
    [older, [fatal]],
    [[fatal], running],
    [older, [fatal], running],
  ]) {
    t.match(match(evidenceOf("kube-scheduler", starts)), { cause: "unknown", lines: [fatal] });
  }
  const quiet = [
    "Started x.",
    "E1128 02:00:00.000000 8 x.go:1] an error",
    "x.service: Main process exited, code=exited",
  ];
  t.match(match(evidenceOf("kube-scheduler", [quiet, running])), { lines: [quiet[1]] });
  const panicked = ["panic: no"];
  t.match(match(evidenceOf("kube-scheduler", [older, panicked, running])), { cause: "program-crashed" });
  t.equal(match(evidenceOf("kube-scheduler", [[fatal], older])).cause, "unknown-flag");
  t.end();
});

t.test("a cause is matched only for the components it applies to", (t) => {
  const line = "Error: context deadline exceeded";
  t.equal(causeOf("kube-apiserver", line), "etcd-no-quorum");
  t.equal(causeOf("kube-scheduler", line), "unknown");
  t.end();
});

t.test("the cause is taken from the newest start that logged an error", (t) => {
  const began = ["Started kube-apiserver.service - Kubernetes API Server."];
  const flag = ["Error: unknown flag: --old"];
  const port = ["Error: failed to create listener: listen tcp 0.0.0.0:6443: bind: address already in use"];
  t.equal(match(evidenceOf("kube-apiserver", [flag, port, began])).cause, "port-in-use");
  t.equal(match(evidenceOf("kube-apiserver", [port, flag])).cause, "unknown-flag");
  t.end();
});

t.test("an API server without etcd is diagnosed with the etcd failure, not with its consequences", (t) => {
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
  t.equal(
    match({ ...evidence, etcd: answers }).cause,
    "etcd-no-quorum",
    "if one etcd member answers, the cause is a lost quorum",
  );
  t.end();
});

t.test("for an unknown cause, the error line is shown instead of the last line", (t) => {
  const fatal = "F1123 22:58:03.150858    1756 main.go:1] the moon is in the wrong phase";
  const after = "kube-scheduler.service: Failed with result 'exit-code'.";
  const diagnosis = match(evidenceOf("kube-scheduler", [["I1123 begun", fatal, "I1123 ended", after]]));
  t.strictSame(diagnosis, {
    cause: "unknown",
    message: "kube-scheduler exits by itself for an unknown reason",
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

t.test("if a client exits because the API server's certificate has expired, the diagnosis names this cause", (t) => {
  const get = `Get "https://127.0.0.1:6443/api?timeout=32s": x509: certificate has expired or is not yet valid: current time 2026-11-28T07:33:17Z is after 2026-11-28T07:31:33Z`;
  const starting = `F1128 07:33:17.134044     506 controllermanager.go:250] error starting controllers: failed to discover resources: ${get}`;
  const retrieving = `E1128 07:33:25.742496     739 leaderelection.go:325] error retrieving resource lock kube-system/kube-scheduler: ${get}`;
  const lost = "F1128 07:33:35.742496     739 server.go:205] leaderelection lost";
  const cause = "api-server-certificate-expired";
  t.equal(causeOf("kube-controller-manager", starting), cause);
  const [line] = [match(evidenceOf("kube-scheduler", [[retrieving, lost]]))];
  t.match(line, { cause, remedy: /^run `khw-client pki renew kubernetes`/, lines: [retrieving.slice(0, 200), lost] });
  t.equal(
    causeOf("kube-scheduler", lost),
    "leader-election-lost",
    "the cause is a lost election if no log line names another cause",
  );
  t.end();
});

t.test("every cause is documented with its exact wording", async (t) => {
  const text = await readFile(join(root, "docs/crash-loops.md"), "utf8");
  t.ok(text.includes(causeTable(causes)), `docs/crash-loops.md must have this table: ${causeTable(causes)}`);
});
