import type { handleServerStreamingCall, handleUnaryCall, ServerWritableStream } from "@grpc/grpc-js";
import { parseDesiredState } from "../../proto/desired.ts";
import { type KhwError, toDetail, toKhwError } from "../../proto/errors.ts";
import { toServiceError } from "../../proto/errors-wire.ts";
import type {
  AgentServiceServer,
  ApplyRequest,
  Event,
  WatchOperationRequest,
} from "../../proto/gen/khw/agent/v1/agent.ts";
import { createKubernetesApi } from "../../proto/kubernetes-api.ts";
import { planSteps } from "../../proto/step.ts";
import { refuse } from "../../proto/validate.ts";
import type { Node } from "../node.ts";
import type { Operations } from "../operations.ts";
import { preflight } from "../preflight.ts";
import { applyRbac } from "../rbac.ts";
import { readComponents } from "../status.ts";
import { controllerSteps } from "../steps.ts";
import { callerOf } from "./authorize.ts";

export interface HandlerOptions {
  readonly node: () => Promise<Node>;
  readonly agentVersion: string;
  /** Aborted when the agent ends. */
  readonly signal: AbortSignal;
  readonly log: (line: string) => void;
}

/** This node's own. */
const apiServer = "https://127.0.0.1:6443";
const rbacMillis = 30_000;

/** Every RPC: parse, call what does the work, answer. Who may call is decided before (authorize.ts). */
export function handlers({ node, agentVersion, signal, log }: HandlerOptions): AgentServiceServer {
  const info = ({ os, operations }: Node) => ({ agentVersion, identity: os.identity, operation: operations.current() });
  return {
    getInfo: unary(log, async () => {
      const open = await node();
      return { ...info(open), architecture: open.os.architecture, clockUnixMillis: open.os.clock.now() };
    }),
    getStatus: unary(log, async () => {
      const open = await node();
      const [machine, components] = await Promise.all([open.os.machine.read(), readComponents(open.os, signal)]);
      return { ...info(open), machine, components };
    }),
    preflight: unary(log, async (request) => {
      const { os } = await node();
      const findings = await preflight(parseDesiredState(request.desired), os, signal);
      return { findings: findings.map(toDetail), clockUnixMillis: os.clock.now() };
    }),
    plan: unary(log, async (request) => {
      const { os } = await node();
      const planned = await planSteps(controllerSteps(parseDesiredState(request.desired)), os, signal);
      const steps = planned.map(({ step, drift, error }) => ({
        id: step.id,
        title: step.title,
        drift: drift?.summary,
        error: error === null ? undefined : toDetail(error),
      }));
      return { steps };
    }),
    applyRbac: unary(log, async ({ ca, certificate, key }) => {
      const api = createKubernetesApi({ server: apiServer, ca, certificate, key, timeoutMillis: rbacMillis });
      return { changed: await applyRbac(api, signal) };
    }),
    apply: streaming(log, async (call: ServerWritableStream<ApplyRequest, Event>) => {
      const { desired: state, operationId } = call.request;
      const desired = parseDesiredState(state);
      for (const { name, content } of desired.credentials) {
        if (content === undefined) refuse(`credentials.${name}`, "has no content");
      }
      const id = parseOperationId(operationId);
      const { operations } = await node();
      operations.start({
        id,
        holder: `${callerOf(call.getAuthContext())?.name ?? "?"} from ${call.getPeer()}`,
        desired,
      });
      await follow(operations, id, call);
    }),
    watchOperation: streaming(log, async (call: ServerWritableStream<WatchOperationRequest, Event>) =>
      follow((await node()).operations, call.request.operationId, call),
    ),
  };
}

function parseOperationId(id: string): string {
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(id) ? id : refuse("operation_id", "is not a UUID");
}

/** Sends an operation's events until its last one, or until the caller goes away. A slow caller is spared the progress. */
function follow<Request>(
  operations: Operations,
  id: string,
  call: ServerWritableStream<Request, Event>,
): Promise<void> {
  return new Promise((resolve) => {
    let stop = (): void => {};
    let finished = false;
    const end = (): void => {
      finished = true;
      stop();
      resolve();
    };
    call.once("cancelled", end);
    stop = operations.listen(id, (event) => {
      if (event.kind?.$case !== "stepProgress" || !call.writableNeedDrain) call.write(event);
      if (event.kind?.$case === "operationFinished") end();
    });
    if (finished || call.cancelled) end();
  });
}

function unary<Request, Response>(
  log: (line: string) => void,
  answer: (request: Request) => Promise<Response>,
): handleUnaryCall<Request, Response> {
  return (call, callback) => {
    answer(call.request).then(
      (response) => callback(null, response),
      (error: unknown) => callback(toServiceError(report(log, call.getPath(), error))),
    );
  };
}

function streaming<Request, Response>(
  log: (line: string) => void,
  answer: (call: ServerWritableStream<Request, Response>) => Promise<void>,
): handleServerStreamingCall<Request, Response> {
  return (call) => {
    answer(call).then(
      () => call.end(),
      (error: unknown) => call.emit("error", toServiceError(report(log, call.getPath(), error))),
    );
  };
}

function report(log: (line: string) => void, path: string, thrown: unknown): KhwError {
  const error = toKhwError(thrown);
  log(`${path}: ${error.code}: ${error.message}`);
  if (error.code === "INTERNAL" && error.stack !== undefined) log(error.stack);
  return error;
}
