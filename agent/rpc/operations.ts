import type { ServerWritableStream } from "@grpc/grpc-js";
import { parseCompleteState, parseDesiredState, hasEtcd } from "../../proto/desired.ts";
import { toDetail } from "../../proto/errors.ts";
import type {
  AgentServiceServer,
  ApplyRequest,
  Event,
  PrepareRequest,
  WatchOperationRequest,
} from "../../proto/gen/khw/agent/v1/agent.ts";
import { createKubernetesApi, createKubernetesLines } from "../../proto/kubernetes-api.ts";
import { planSteps } from "../../proto/step.ts";
import { parseUuid } from "../../proto/validate.ts";
import { inspectApi } from "../api/inspect.ts";
import { probeBackends } from "../api/probe-backends.ts";
import { tryCertificate } from "../certificates/try-certificate.ts";
import { checkLatency } from "../preflight/etcd-latency.ts";
import type { Operations } from "../state/operations.ts";
import { otherCluster } from "../preflight/other-cluster.ts";
import { preflight } from "../preflight/preflight.ts";
import { programDigests } from "../preflight/program-digests.ts";
import { applyRbac } from "../rbac.ts";
import { controllerSteps } from "../steps.ts";
import { tryPrograms } from "../trial/trial.ts";
import { holderOf, streaming, unary } from "./calls.ts";
import type { HandlerOptions } from "./handler-options.ts";

/** This node's own API server. */
const apiServer = "https://127.0.0.1:6443";
const apiMillis = 30_000;

/** Handles the RPCs that bring a machine to a desired state: preflight, plan, apply, watch. */
export function operationHandlers(
  options: HandlerOptions,
): Pick<
  AgentServiceServer,
  | "preflight"
  | "tryPrograms"
  | "plan"
  | "apply"
  | "prepare"
  | "watchOperation"
  | "applyRbac"
  | "inspectApi"
  | "probeBackends"
  | "tryCertificate"
> {
  const { node, signal } = options;
  return {
    preflight: unary(options, async (request) => {
      const { os, keptState } = await node();
      const desired = parseDesiredState(request.desired);
      const findings = [
        ...(await otherCluster(desired, os, keptState.current()?.desired)),
        ...(await preflight(desired, os, signal)),
      ];
      const slow = hasEtcd(desired) ? await checkLatency(desired, os, signal) : [];
      const strict = desired.etcd?.strict === true;
      const programs = await programDigests(desired, os, signal);
      return {
        findings: [...findings, ...(strict ? slow : []), ...programs.findings].map(toDetail),
        warnings: (strict ? [] : slow).map(toDetail),
        programs: [...programs.digests],
        clockUnixMillis: os.clock.now(),
      };
    }),
    tryPrograms: unary(options, async (request) => {
      const { os } = await node();
      const { findings, warnings } = await tryPrograms(parseDesiredState(request.desired), os, signal);
      return { findings: findings.map(toDetail), warnings: warnings.map(toDetail) };
    }),
    plan: unary(options, async (request) => {
      const { os, maintenance } = await node();
      const list = controllerSteps(parseDesiredState(request.desired), maintenance.current());
      const planned = await planSteps(list, os, signal);
      const steps = planned.map(({ step, drift, error }) => ({
        id: step.id,
        title: step.title,
        drift: drift?.summary,
        remedy: drift?.remedy,
        error: error === null ? undefined : toDetail(error),
      }));
      return { steps };
    }),
    apply: streaming<ApplyRequest, Event>(options, async (call, gone) => {
      const { desired: state, operationId, noRollback = false } = call.request;
      const desired = parseCompleteState(state);
      const id = parseUuid("operation_id", operationId);
      const { operations } = await node();
      operations.start({ id, kind: "apply", holder: holderOf(call), desired, noRollback });
      await follow(operations, id, { call, gone, signal });
    }),
    prepare: streaming<PrepareRequest, Event>(options, async (call, gone) => {
      const desired = parseDesiredState(call.request.desired);
      const id = parseUuid("operation_id", call.request.operationId);
      const { operations } = await node();
      operations.start({ id, kind: "prepare", holder: holderOf(call), desired });
      await follow(operations, id, { call, gone, signal });
    }),
    watchOperation: streaming<WatchOperationRequest, Event>(options, async (call, gone) =>
      follow((await node()).operations, call.request.operationId, { call, gone, signal }),
    ),
    applyRbac: unary(options, async ({ ca, certificate, key, limitAnonymous }) => {
      const api = createKubernetesApi({ server: apiServer, ca, certificate, key, timeoutMillis: apiMillis });
      return { changed: await applyRbac(api, signal, { limitAnonymous }) };
    }),
    inspectApi: unary(options, async ({ ca, certificate, key }) => {
      const connection = { server: apiServer, ca, certificate, key, timeoutMillis: apiMillis };
      return inspectApi({ api: createKubernetesApi(connection), lines: createKubernetesLines(connection) }, signal);
    }),
    probeBackends: unary(options, async ({ ca, certificate, key }) => {
      const { probes } = (await node()).os;
      const api = createKubernetesApi({ server: apiServer, ca, certificate, key, timeoutMillis: apiMillis });
      return { backends: await probeBackends({ api, probes }, signal) };
    }),
    tryCertificate: unary(options, async (identity) => {
      const { os, keptState } = await node();
      const managesEtcd = keptState.current()?.desired.etcd !== undefined;
      return { verdicts: await tryCertificate(os, identity, { managesEtcd, signal }) };
    }),
  };
}

interface Following<Request> {
  readonly call: ServerWritableStream<Request, Event>;
  /** Aborts when the caller disconnects or loses its permission, and when the agent stops. */
  readonly gone: AbortSignal;
  /** Aborts when the agent stops. */
  readonly signal: AbortSignal;
}

/**
 * Sends an operation's events until the operation ends or the caller disconnects. When the agent stops, it ends the
 * operation before it closes the call. A slow caller gets no progress events.
 */
export function follow<Request>(
  operations: Operations,
  id: string,
  { call, gone, signal }: Following<Request>,
): Promise<void> {
  return new Promise((resolve) => {
    let stop = (): void => {};
    let finished = false;
    const end = (): void => {
      finished = true;
      stop();
      resolve();
    };
    // If the agent is stopping, the call stays open until the operation has ended and the last event is sent.
    const left = (): void => (signal.aborted ? undefined : end());
    gone.addEventListener("abort", left, { once: true });
    call.once("cancelled", end);
    stop = operations.listen(id, (event) => {
      if (event.kind?.$case !== "stepProgress" || !call.writableNeedDrain) call.write(event);
      if (event.kind?.$case === "operationFinished") end();
    });
    if (finished || call.cancelled) end();
    if (gone.aborted) left();
  });
}
