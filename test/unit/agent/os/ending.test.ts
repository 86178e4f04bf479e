import t from "tap";
import { describeEnding } from "../../../../agent/os/ending.ts";

t.test("the reason for a unit's exit is reported in systemd's own words", async (t) => {
  const end = (properties: Record<string, unknown>) => describeEnding("a.service", { MainPID: 0, ...properties });
  const killed = { Result: "signal", ExecMainCode: 2, ExecMainStatus: 9 };
  t.strictSame(end(killed), [
    "a.service: Main process exited, code=killed, status=9/KILL",
    "a.service: Failed with result 'signal'.",
  ]);
  t.match(end({ Result: "core-dump", ExecMainCode: 3, ExecMainStatus: 11 }), [/: .*, code=dumped, status=11\/SEGV$/]);
  t.match(end({ Result: "exit-code", ExecMainCode: 1, ExecMainStatus: 1 }), [/code=exited, status=1$/, /'exit-code'/]);
  t.strictSame(
    end({ Result: "success", ExecMainCode: 1, ExecMainStatus: 0 }),
    [],
    "no reason is given for a process that ended successfully",
  );
  t.strictSame(end({ ...killed, MainPID: 7 }), [], "no reason is given once a new process of the unit is running");
  t.strictSame(end({ Result: "resources", ExecMainCode: 0, ExecMainStatus: 0 }), [
    "a.service: Failed with result 'resources'.",
  ]);
});
