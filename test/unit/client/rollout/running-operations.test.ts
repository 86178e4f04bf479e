import t from "tap";

import type { Member } from "../../../../client/cluster/open.ts";
import { connectNode } from "../../../../client/cluster/agent-client.ts";
import { operationId } from "../../../../client/rollout/apply-to-node.ts";
import { combineErrors } from "../../../../client/cluster/combine-errors.ts";
import { runningOperationFindings, describeRunningOperations } from "../../../../client/rollout/running-operations.ts";
import { exitCode, formatError, KhwError } from "../../../../proto/errors.ts";
import { DesiredState, OperationState } from "../../../../proto/gen/khw/agent/v1/agent.ts";
import { createAuthority, issue } from "../../../../client/pki/management/issue.ts";

const authority = await createAuthority(new Date());
const { certificate, key } = await issue(authority, { name: "admin", role: "admin", days: 1 }, new Date());
const identity = {
  ca: Buffer.from(authority.certificate),
  certificate: Buffer.from(certificate),
  key: Buffer.from(key),
};

/** Creates a fake node with this operation as its last operation. */
function member(name: string, id: string, state: OperationState): Member {
  const node = connectNode({ name, host: "127.0.0.1", port: 7443 }, identity);
  t.teardown(() => node.close());
  return {
    node,
    info: {
      agentVersion: "0.1.0",
      identity: undefined,
      architecture: "amd64",
      clockUnixMillis: 0,
      operation: { id, holder: "jane from 192.0.2.1:50000", startedUnixMillis: 0, state, error: undefined },
    },
  };
}

t.test(
  "a different operation that is running on a node is reported, but the same operation or a finished operation is not",
  async (t) => {
    const desired = DesiredState.fromPartial({ node: "controller-0" });
    const { OPERATION_STATE_RUNNING: running, OPERATION_STATE_SUCCEEDED: succeeded } = OperationState;
    const members = [
      member("controller-0", "another", running),
      member("controller-1", operationId(desired), running),
      member("controller-2", "another", succeeded),
      member("controller-3", operationId(desired, "prepare"), running),
    ];
    const findings = runningOperationFindings(
      members,
      members.map(({ node }) => ({ node, desired, maintenance: undefined })),
    );
    t.strictSame(
      findings.map((finding) => [exitCode(finding), formatError(finding)]),
      [
        [
          75,
          "controller-0: the node is busy: jane from 192.0.2.1:50000 has held the machine lock since 1970-01-01T00:00:00.000Z\n" +
            "hint: wait for that operation to end, then run the command again",
        ],
      ],
    );
  },
);

t.test("running and interrupted operations are described, and failed operations are not", async (t) => {
  const told = describeRunningOperations([
    member("controller-0", "a", OperationState.OPERATION_STATE_RUNNING),
    member("controller-1", "b", OperationState.OPERATION_STATE_INTERRUPTED),
    member("controller-2", "c", OperationState.OPERATION_STATE_FAILED),
  ]);
  const begun = "started by jane from 192.0.2.1:50000 at 1970-01-01T00:00:00.000Z";
  t.strictSame(told, [
    `controller-0: an operation ${begun} is running`,
    `controller-1: the operation ${begun} was interrupted; this command continues it`,
  ]);
});

t.test("several errors are combined into a single error, each with its location and remedy", async (t) => {
  const errors = [
    new KhwError("UNREACHABLE", "no answer", { node: "controller-0", hint: "is it up?" }),
    new KhwError("NOT_READY", "not ready", { node: "controller-1", step: "ready/nginx" }),
  ];
  const error = combineErrors(errors, { code: "PARTIAL", headline: "the bootstrap is not complete", hint: "again" });
  t.equal(error.code, "PARTIAL");
  t.equal(
    formatError(error),
    [
      "the bootstrap is not complete:",
      "  controller-0: no answer (is it up?)",
      "  controller-1: ready/nginx: not ready",
      "hint: again",
    ].join("\n"),
  );
});
