import t from "tap";
import { decide, type UpgradeView } from "../../../../agent/agent-upgrade/decide.ts";

/** The new agent is running, but no administrator has called it yet. */
const view: UpgradeView = {
  fromVersion: "0.1.0",
  toVersion: "0.2.0",
  noRollback: false,
  installed: "0.2.0",
  installing: false,
  rollingBack: false,
  rolledBack: false,
  restarted: true,
  answered: false,
};

const verdict = (change: Partial<UpgradeView>): string => decide({ ...view, ...change }).kind;

t.test("an upgrade is done once the new process has served an administrator", async (t) => {
  t.equal(verdict({}), "wait");
  t.equal(verdict({ answered: true }), "done");
  t.equal(verdict({ answered: true, noRollback: true }), "done");
  t.equal(
    verdict({ answered: true, restarted: false }),
    "wait",
    "the agent waits while the old version still answers calls",
  );
});

t.test("no verdict is reached while apt is running", async (t) => {
  for (const installed of ["0.1.0", "0.2.0", undefined]) {
    for (const answered of [true, false]) {
      t.equal(verdict({ installed, answered, installing: true }), "wait");
      t.equal(verdict({ installed, answered, rollingBack: true, rolledBack: true }), "wait");
    }
  }
});

t.test("an upgrade counts as failed or rolled back if the new version is not installed", async (t) => {
  t.equal(verdict({ installed: "0.1.0" }), "failed");
  t.equal(verdict({ installed: "0.1.0", restarted: false }), "failed");
  t.equal(verdict({ installed: "0.1.0", rolledBack: true, answered: true }), "rolled-back");
  t.match(decide({ ...view, installed: "0.9.0", answered: true }), { kind: "failed", why: /0\.9\.0/ });
});

t.test(
  "an upgrade with an unfinished installation waits for the rollback, or fails if rollback is disabled",
  async (t) => {
    t.equal(verdict({ installed: undefined, answered: true }), "wait");
    t.equal(verdict({ installed: undefined, answered: true, noRollback: true }), "failed");
    t.equal(
      verdict({ restarted: false, noRollback: true }),
      "failed",
      "the upgrade fails because no rollback would end it",
    );
  },
);
