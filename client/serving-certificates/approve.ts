import { KhwError, toKhwError } from "../../proto/errors.ts";
import { type IssueContext, approveRequest, isIssued } from "./issue.ts";
import { requestingNode } from "./judge.ts";
import { outcomeOf, type RequestResult } from "./report.ts";
import { isPlainName, labelOf, readRequests, type ServingRequest } from "./requests.ts";
import { reviewRequest, type ReviewContext } from "./review.ts";

export type ApproveContext = ReviewContext & IssueContext;

export interface ApproveOptions {
  /** The nodes whose requests are decided. If empty, the requests of all nodes are decided. */
  readonly nodes: readonly string[];
  readonly report: (result: RequestResult, request: ServingRequest) => void;
  /**
   * Returns whether a request that was approved in an earlier pass counts as approved. By default, every request
   * counts.
   */
  readonly counts?: (request: ServingRequest) => boolean;
}

/** The results of one pass over the requests. */
export interface Pass {
  readonly results: readonly RequestResult[];
  /**
   * The nodes with an approved request. A request from an earlier pass counts only if its certificate is valid, and if
   * no later request failed.
   */
  readonly approved: ReadonlySet<string>;
}

/**
 * Reviews all pending requests, one after the other, and approves the ones that fit. All other requests stay pending,
 * and the controller manager deletes them after a day.
 * @throws KhwError if an API cannot be read; decisions before the error stand, and all other requests stay pending
 */
export async function approvePending(
  context: ApproveContext,
  { nodes, report, counts = () => true }: ApproveOptions,
): Promise<Pass> {
  const results: RequestResult[] = [];
  const [approved, earlier] = [new Set<string>(), new Set<string>()];
  for (const request of await readRequests(context.api, context.signal)) {
    const node = requestingNode(request);
    if (nodes.length > 0 && (node === undefined || !nodes.includes(node))) continue;
    if (request.conditions.length > 0) {
      if (node === undefined || !isApproved(request) || !counts(request)) continue;
      if (await isIssued(request, node, context)) earlier.add(node);
      continue;
    }
    const result = await decide(request, context);
    if (outcomeOf(result) === "approved" && node !== undefined) approved.add(node);
    results.push(result);
    report(result, request);
  }
  const failed = new Set(results.filter(isFailure).map(({ review }) => review.node));
  return { results, approved: new Set([...approved, ...[...earlier].filter((node) => !failed.has(node))]) };
}

function isFailure(result: RequestResult): boolean {
  return ["refused", "failed"].includes(outcomeOf(result));
}

function isApproved({ conditions }: ServingRequest): boolean {
  return conditions.every((type) => type === "Approved");
}

async function decide(request: ServingRequest, context: ApproveContext): Promise<RequestResult> {
  const review = await reviewRequest(request, context);
  if (review.verdict !== "fits") return { request: request.name, review };
  try {
    const certificate = await approveRequest(request, review, context);
    return { request: request.name, review, expires: certificate.validToDate };
  } catch (thrown) {
    context.signal.throwIfAborted();
    return { request: request.name, review, error: toKhwError(thrown) };
  }
}

/** Returns an error for each request that is refused or has no valid certificate. */
export function resultErrors(results: readonly RequestResult[]): KhwError[] {
  return results.flatMap(({ request, review, error }) => {
    if (review.verdict === "refused") {
      return new KhwError("CREDENTIAL_INVALID", `${labelOf(request)} is refused: ${review.problems.join("; ")}`, {
        node: review.node,
        hint: isPlainName(request)
          ? `find out who sent it, then run kubectl certificate deny ${request}`
          : "find out who sent it; the controller manager deletes pending requests after 24 hours",
      });
    }
    return error === undefined
      ? []
      : new KhwError(error.code, `${labelOf(request)}: ${error.message}`, {
          node: review.node,
          hint: error.hint,
        });
  });
}
