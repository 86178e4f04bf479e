import type { DeprecatedApi, InspectApiResponse } from "../../proto/gen/khw/agent/v1/agent.ts";

/** This metric has existed since Kubernetes 1.19: https://kubernetes.io/blog/2020/09/03/warnings/#metrics */
const deprecated = "apiserver_requested_deprecated_apis{";
const requestTotal = "apiserver_request_total{";

/** The part of an API server's metrics that khw uses. All counts start from zero when the API server starts. */
export type ApiMetrics = Pick<InspectApiResponse, "deprecatedApis" | "requests" | "serverErrors">;

export async function readMetrics(lines: AsyncIterable<string>): Promise<ApiMetrics> {
  const deprecatedApis: DeprecatedApi[] = [];
  let [requests, serverErrors] = [0, 0];
  for await (const line of lines) {
    if (line.startsWith(requestTotal)) {
      const count = valueOf(line);
      requests += count;
      if (labelsOf(line)["code"]?.startsWith("5") === true) serverErrors += count;
    } else if (line.startsWith(deprecated) && valueOf(line) > 0) {
      const { group = "", version = "", resource = "", subresource = "", removed_release = "" } = labelsOf(line);
      deprecatedApis.push({ group, version, resource, subresource, removedRelease: removed_release });
    }
  }
  return { deprecatedApis, requests, serverErrors };
}

/**
 * Returns the labels of a sample in Prometheus' text format. Does not unescape them, because group and resource names
 * need no escaping.
 */
function labelsOf(line: string): Readonly<Partial<Record<string, string>>> {
  const pairs = [...line.matchAll(/([a-z_]+)="([^"]*)"/g)];
  return Object.fromEntries(pairs.map(([, name = "", value = ""]) => [name, value]));
}

function valueOf(line: string): number {
  const value = Number(line.slice(line.lastIndexOf("}") + 1));
  return Number.isFinite(value) ? value : 0;
}
