import t from "tap";
import { describeEnding } from "../../../../agent/os/ending.ts";

t.test("an end is told in systemd's own words", async (t) => {
  const end = (properties: Record<string, unknown>) => describeEnding("a.service", { MainPID: 0, ...properties });
  const killed = { Result: "signal", ExecMainCode: 2, ExecMainStatus: 9 };
  t.equal(end(killed), "a.service: Main process exited, code=killed, status=9/KILL");
  t.equal(
    end({ Result: "core-dump", ExecMainCode: 3, ExecMainStatus: 11 }),
    "a.service: Main process exited, code=dumped, status=11/SEGV",
  );
  t.equal(
    end({ Result: "exit-code", ExecMainCode: 1, ExecMainStatus: 1 }),
    "a.service: Main process exited, code=exited, status=1",
  );
  t.equal(end({ Result: "success", ExecMainCode: 1, ExecMainStatus: 0 }), undefined, "it ended well");
  t.equal(end({ ...killed, MainPID: 7 }), undefined, "another runs meanwhile");
  t.equal(end({ Result: "start-limit-hit", ExecMainCode: 0, ExecMainStatus: 0 }), undefined, "none was started");
});
