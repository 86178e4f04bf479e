import type { handleServerStreamingCall, handleUnaryCall, ServerUnaryCall, ServerWritableStream } from "@grpc/grpc-js";
import { parseDesiredState } from "../../proto/desired.ts";
import { KhwError, toDetail, toKhwError } from "../../proto/errors.ts";
import { toServiceError } from "../../proto/errors-wire.ts";
import type {
  AgentServiceServer,
  ApplyRequest,
  Event,
  GetStatusResponse,
  HistoryEvent,
  ListEventsRequest,
  LogEntry,
  StreamLogsRequest,
  WatchOperationRequest,
  WatchStatusRequest,
  WatchStatusResponse,
} from "../../proto/gen/khw/agent/v1/agent.ts";
import { createKubernetesApi } from "../../proto/kubernetes-api.ts";
import { planSteps } from "../../proto/step.ts";
import { refuse, show } from "../../proto/validate.ts";
import { healthChecks } from "../health.ts";
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
  const fullStatus = ({ os, board }: Node): GetStatusResponse => {
    const { components, certificates, ...rest } = board.read();
    return {
      agentVersion,
      identity: os.identity,
      ...rest,
      components: [...components],
      certificates: [...certificates],
    };
  };
  return {
    getInfo: unary(log, async () => {
      const open = await node();
      return { ...info(open), architecture: open.os.architecture, clockUnixMillis: open.os.clock.now() };
    }),
    getStatus: unary(log, async () => {
      const open = await node();
      const [machine, components] = await Promise.all([open.os.machine.read(), readComponents(open.os, signal)]);
      open.board.post({ machine, components });
      return fullStatus(open);
    }),
    preflight: unary(log, async (request) => {
      const { os } = await node();
      const findings = await preflight(parseDesiredState(request.desired), os, signal);
      return { findings: findings.map(toDetail), clockUnixMillis: os.clock.now() };
    }),
    plan: unary(log, async (request) => {
      const { os, maintenance } = await node();
      const list = controllerSteps(parseDesiredState(request.desired), maintenance.current());
      const planned = await planSteps(list, os, signal);
      const steps = planned.map(({ step, drift, error }) => ({
        id: step.id,
        title: step.title,
        drift: drift?.summary,
        error: error === null ? undefined : toDetail(error),
      }));
      return { steps };
    }),
    getPlan: unary(log, async () => (await node()).reconciler.plan(signal)),
    restartComponent: unary(log, async ({ component, reason }, call) => {
      const { supervisor, writer } = await node();
      const name = parseComponentName(component);
      const durationMillis = await writer.hold(holderOf(call), () =>
        supervisor.restart(name, { reason: `${holderOf(call)}${reason === "" ? "" : `: ${reason}`}`, signal }),
      );
      return { durationMillis: Math.round(durationMillis) };
    }),
    setMaintenance: unary(log, async ({ drained }, call) => {
      const { maintenance } = await node();
      return { maintenance: await maintenance.set(drained, holderOf(call)) };
    }),
    watchStatus: streaming(log, async (call: ServerWritableStream<WatchStatusRequest, WatchStatusResponse>) => {
      const open = await node();
      await new Promise<void>((resolve) => {
        call.write({ kind: { $case: "full", value: fullStatus(open) } });
        const stop = open.board.listen((change) => call.write({ kind: { $case: "change", value: change } }));
        call.once("cancelled", () => {
          stop();
          resolve();
        });
      });
    }),
    streamLogs: streaming(log, async (_: ServerWritableStream<StreamLogsRequest, LogEntry>) => {
      throw new KhwError("INTERNAL", "not written yet");
    }),
    listEvents: streaming(log, async (call: ServerWritableStream<ListEventsRequest, HistoryEvent>) => {
      const { history } = await node();
      for (const event of await history.list(call.request)) call.write(event);
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
        holder: holderOf(call),
        desired,
      });
      await follow(operations, id, call);
    }),
    watchOperation: streaming(log, async (call: ServerWritableStream<WatchOperationRequest, Event>) =>
      follow((await node()).operations, call.request.operationId, call),
    ),
  };
}

/** Who calls, for people. */
function holderOf(call: Pick<ServerUnaryCall<unknown, unknown>, "getAuthContext" | "getPeer">): string {
  return `${callerOf(call.getAuthContext())?.name ?? "?"} from ${call.getPeer()}`;
}

function parseComponentName(name: string): string {
  const known = healthChecks.map(({ component }) => component);
  return known.includes(name)
    ? name
    : refuse("component", `${show(name)} is no component`, `one of ${known.join(", ")}`);
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
  answer: (request: Request, call: ServerUnaryCall<Request, Response>) => Promise<Response>,
): handleUnaryCall<Request, Response> {
  return (call, callback) => {
    answer(call.request, call).then(
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
