import t from "tap";
import { pausedBecause } from "../../../../agent/reconcile/paused.ts";
import { type Operation, OperationKind, OperationState } from "../../../../proto/gen/khw/agent/v1/agent.ts";
import { labDesired } from "../../../fixtures/machine.ts";

const kept = { operationId: "kept", desired: labDesired() };

function operation(id: string, state: OperationState): Operation {
  return { id, holder: "admin", startedUnixMillis: 0, state, error: undefined };
}

t.test(
  "the agent checks for drift if its desired state is known and no operation with another desired state has failed",
  async (t) => {
    for (const [id, state] of [
      ["kept", OperationState.OPERATION_STATE_SUCCEEDED],
      ["kept", OperationState.OPERATION_STATE_FAILED],
      ["kept", OperationState.OPERATION_STATE_INTERRUPTED],
    ] as const) {
      t.equal(
        pausedBecause({ kept, damage: undefined, holder: undefined, operation: operation(id, state) }),
        "",
        `repair is not paused after an operation in state ${state}`,
      );
    }
    t.equal(pausedBecause({ kept, damage: undefined, holder: undefined, operation: undefined }), "");
  },
);

t.test(
  "the agent does not check for drift during an operation, or after a failed operation that had a different desired state",
  async (t) => {
    const because = (state: OperationState): string =>
      pausedBecause({ kept, damage: undefined, holder: undefined, operation: operation("another", state) });
    t.match(because(OperationState.OPERATION_STATE_FAILED), /admin started at 1970.* failed/);
    t.match(because(OperationState.OPERATION_STATE_INTERRUPTED), /interrupted/);
    t.match(because(OperationState.OPERATION_STATE_RUNNING), /is running/);
    t.match(
      pausedBecause({ kept, damage: undefined, holder: { name: "ops", sinceUnixMillis: 0 }, operation: undefined }),
      /ops is working/,
    );
    t.match(
      pausedBecause({ kept: undefined, damage: undefined, holder: undefined, operation: undefined }),
      /there is no desired state/,
    );
  },
);

t.test("the agent does not check for drift while a record of its desired state is unreadable", async (t) => {
  const damage = "/var/lib/khw-agent/target cannot be read: it is empty";
  for (const state of [kept, undefined]) {
    t.match(
      pausedBecause({ kept: state, holder: undefined, operation: undefined, damage }),
      /target cannot be read: it is empty/,
    );
  }
});

t.test(
  "the agent checks for drift after a successful rollback, and after a download even if the download failed",
  async (t) => {
    const failed = operation("another", OperationState.OPERATION_STATE_FAILED);
    const error = { code: "NOT_READY", message: "", hint: "", node: "", step: "" };
    const because = (changes: Partial<Operation>): string =>
      pausedBecause({ kept, damage: undefined, holder: undefined, operation: { ...failed, ...changes } });
    t.equal(because({ rolledBack: { error: undefined } }), "");
    t.match(because({ rolledBack: { error } }), /failed/);
    t.equal(because({ kind: OperationKind.OPERATION_KIND_PREPARE }), "");
  },
);
