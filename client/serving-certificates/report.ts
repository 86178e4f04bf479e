import { formatError, type KhwError, toDetail } from "../../proto/errors.ts";
import { oneLine } from "../../proto/sanitize.ts";
import { show } from "../../proto/validate.ts";
import { labelOf } from "./requests.ts";
import type { Review } from "./review.ts";

/** The result for one request. */
export interface RequestResult {
  /** The name of the CertificateSigningRequest, as its sender wrote it. */
  readonly request: string;
  readonly review: Review;
  /** When the certificate expires; only for an approved request. */
  readonly expires?: Date;
  /** The reason why no valid certificate was issued, although the request is valid. */
  readonly error?: KhwError;
}

export type Outcome = "approved" | "failed" | "refused" | "abandoned";

export function outcomeOf({ review, error }: RequestResult): Outcome {
  if (review.verdict !== "fits") return review.verdict;
  return error === undefined ? "approved" : "failed";
}

/** Describes the result: a line with the outcome, and a line for each name, check or problem. */
export function resultText(result: RequestResult): string {
  const { request, review, expires, error } = result;
  const head = `${labelOf(request)}: ${review.node ?? "not from a kubelet"}: ${outcomeOf(result)}`;
  if (review.verdict !== "fits") return lines(head, review.problems);
  const { contents, instance } = review;
  return lines(head, [
    `names: ${[...contents.dnsNames, ...contents.addresses].map(show).join(", ")}`,
    `checked: request, key and signature; the Node object; instance ${instance.name} in ${instance.zone} (${instance.id})`,
    ...(error === undefined ? [`the certificate expires on ${expires?.toISOString() ?? "-"}`] : []),
    ...(error === undefined ? [] : formatError(error).split("\n")),
  ]);
}

function lines(head: string, others: readonly string[]): string {
  return [head, ...others.map((line) => `  ${line}`)].map((line) => `${line}\n`).join("");
}

/** Returns the result as a JSON object; docs/output.md describes the fields. */
export function resultDocument(result: RequestResult): Record<string, unknown> {
  const { request, review, expires, error } = result;
  const common = { request: oneLine(request), node: review.node ?? null, outcome: outcomeOf(result) };
  if (review.verdict !== "fits") return { ...common, problems: review.problems };
  const { contents, instance } = review;
  return {
    ...common,
    dnsNames: contents.dnsNames,
    addresses: contents.addresses,
    instance: { name: instance.name, zone: instance.zone, id: instance.id },
    ...(expires === undefined ? {} : { expires: expires.toISOString() }),
    ...(error === undefined ? {} : { error: toDetail(error) }),
  };
}
