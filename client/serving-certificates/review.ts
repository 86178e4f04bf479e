import type { KubernetesApi } from "../../proto/kubernetes-api.ts";
import { mapStrings, oneLine } from "../../proto/sanitize.ts";
import { show } from "../../proto/validate.ts";
import type { Compute } from "../gce/compute.ts";
import { type ComputePlace, findInstance, type NodeInstance } from "./instance.ts";
import { instanceProblems, nodeProblems, requestingNode, requestProblems, type Reserved } from "./judge.ts";
import { readNode } from "./node.ts";
import { readContents, type RequestContents } from "./pkcs10.ts";
import { isPlainName, type ServingRequest } from "./requests.ts";

/**
 * How long a kubelet waits for its certificate (certificateWaitTimeout in client-go). Then it drops the key and sends
 * another request.
 */
export const abandonedMillis = 15 * 60_000;

export interface ReviewContext {
  readonly api: KubernetesApi;
  readonly compute: Pick<Compute, "instancesNamed">;
  readonly place: ComputePlace;
  readonly reserved: Reserved;
  readonly now: () => number;
  readonly signal: AbortSignal;
}

/** A request that fits, and everything that its certificate must contain. */
export interface Fitting {
  readonly verdict: "fits";
  readonly node: string;
  readonly contents: RequestContents;
  readonly instance: NodeInstance;
}

export type Review =
  | Fitting
  | { readonly verdict: "refused"; readonly node?: string; readonly problems: readonly string[] }
  | { readonly verdict: "abandoned"; readonly node?: string; readonly problems: readonly string[] };

/**
 * Checks a request against three things: its requestor, the Node object, and the instance in the Compute API. The
 * Kubernetes and Compute APIs are called only if the request itself is in order.
 * @throws KhwError if an API cannot be read
 */
export async function reviewRequest(request: ServingRequest, context: ReviewContext): Promise<Review> {
  const node = requestingNode(request);
  const place = node === undefined ? {} : { node };
  const minutes = Math.floor((context.now() - request.createdMillis) / 60_000);
  if (!(context.now() - request.createdMillis <= abandonedMillis)) {
    const age = Number.isNaN(minutes) ? "an unknown time" : `${minutes} min`;
    const why = `it is ${age} old by this workstation's clock, and a kubelet waits only 15 min`;
    return { verdict: "abandoned", ...place, problems: [why] };
  }
  const foreign = [
    ...(isPlainName(request.name)
      ? []
      : ["its name contains characters other than lower-case letters, digits, hyphens and dots"]),
    ...(node === undefined ? [`its requestor ${show(request.username)} is not a kubelet`] : []),
  ];
  const review = foreign.length > 0 ? foreign : await judge(request, node ?? "", context);
  if (!Array.isArray(review)) return review;
  return { verdict: "refused", ...place, problems: mapStrings([...review], oneLine) };
}

/** Returns the reasons to refuse the request, or the request if it fits. */
async function judge(
  request: ServingRequest,
  node: string,
  { api, compute, place, reserved, signal }: ReviewContext,
): Promise<string[] | Fitting> {
  const contents = await readContents(request.pem);
  if (typeof contents === "string") return [contents];
  const own = requestProblems(request, contents, { node, reserved });
  if (own.length > 0) return own;
  const object = await readNode(api, node, signal);
  if (object === undefined) return [`there is no Node object ${node}`];
  const instance = await findInstance(compute, node, { place, signal });
  const unlike = nodeProblems(contents, object);
  if (typeof instance === "string") return [...unlike, instance];
  const { providerId } = object;
  const problems = [...unlike, ...instanceProblems(contents, instance, { node, providerId, project: place.project })];
  return problems.length > 0 ? problems : { verdict: "fits", node, contents, instance };
}
