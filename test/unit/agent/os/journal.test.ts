import t from "tap";
import { collectStarts } from "../../../../agent/os/journal.ts";

const fatal = "F1128 02:00:00.000000     812 x.go:152] rpc error: code = Unavailable desc = transport is closing";

/** Returns goroutine stacks in the format that klog and the Go runtime print. */
function stacks(goroutines: number): string[] {
  const one = [
    "goroutine 12 [select, 5 minutes]:",
    "net/http.(*persistConn).writeLoop(0xc000b7e000)",
    "\t/usr/lib/go-1.19/src/net/http/transport.go:2392 +0xf5",
    "created by net/http.(*Transport).dialConn",
    "\t/usr/lib/go-1.19/src/net/http/transport.go:1751 +0x173e",
    "",
    "rax    0xfffffffffffffffc",
  ];
  return Array.from({ length: goroutines }, () => one).flat();
}

t.test("the fatal log line of each start is kept regardless of the lines that follow", (t) => {
  const { starts, take } = collectStarts();
  for (const invocation of ["a", "b"]) {
    take({ invocation, message: "Started etcd.service." });
    for (const message of [fatal, ...stacks(500)]) take({ invocation, message });
    for (let index = 0; index < 1000; index++) take({ invocation, message: `E1128 x.go:1] late ${index}` });
    take({ invocation, message: "panic: later" });
  }
  t.strictSame(
    starts.map(({ invocation }) => invocation),
    ["a", "b"],
  );
  t.strictSame(starts[0]?.lines, [fatal]);
  t.equal(starts[1]?.lines[0], fatal);
  t.equal(starts[1]?.lines.at(-1), "panic: later");
  t.equal(starts.flatMap(({ lines }) => lines).length, 400);
  t.end();
});

t.test("stack traces and registers of a crash are omitted", (t) => {
  const { starts, take } = collectStarts();
  for (const message of ["SIGABRT: abort", "PC=0x46a5e1 m=0 sigcode=0", ...stacks(300)])
    take({ invocation: "a", message });
  t.strictSame(starts, [
    { invocation: "a", fatal: "SIGABRT: abort", lines: ["SIGABRT: abort", "PC=0x46a5e1 m=0 sigcode=0"] },
  ]);
  t.end();
});
