import t from "tap";
import { refuseOtherOptions } from "../../../../client/commands/upgrade-lose-since.ts";

t.test("--lose-since is refused without --back, or with an option of a rolling update", (t) => {
  const none = { "--to": false, "--gate": false };
  t.throws(() => refuseOtherOptions({ back: false, others: none }), {
    code: "INVALID_ARGUMENT",
    message: "--lose-since needs --back",
  });
  t.throws(() => refuseOtherOptions({ back: true, others: { ...none, "--gate": true } }), {
    code: "INVALID_ARGUMENT",
    message: /cannot be used with --gate/,
  });
  t.doesNotThrow(() => refuseOtherOptions({ back: true, others: none }));
  t.end();
});
