import { once } from "node:events";
import { createServer } from "node:http";
import { contentType } from "./text.ts";

export interface MetricsServerOptions {
  readonly port: number;
  /** Returns the current metrics in Prometheus' text format. */
  readonly metrics: () => string;
  readonly log: (line: string) => void;
  /** The server stops when this signal aborts. */
  readonly signal: AbortSignal;
}

/**
 * Serves GET /metrics on the loopback interface. Requires no authentication, because the metrics contain no secrets.
 * Returns the port. Logs a message and returns undefined if the port is in use. The agent then runs without metrics.
 */
export async function serveMetrics({ port, metrics, log, signal }: MetricsServerOptions): Promise<number | undefined> {
  const server = createServer(
    { requestTimeout: 5_000, headersTimeout: 5_000, keepAliveTimeout: 5_000 },
    (request, response) => {
      const { method, url } = request;
      if (url !== "/metrics") {
        response.writeHead(404).end("the metrics are at /metrics\n");
      } else if (method !== "GET" && method !== "HEAD") {
        response.writeHead(405, { allow: "GET, HEAD" }).end();
      } else {
        response.writeHead(200, { "content-type": contentType }).end(metrics());
      }
    },
  );
  server.maxConnections = 16;
  server.listen({ host: "127.0.0.1", port });
  try {
    await once(server, "listening", { signal });
  } catch (error) {
    server.close();
    if (!signal.aborted) {
      const reason = error instanceof Error ? error.message : String(error);
      log(
        `no metrics: cannot listen on 127.0.0.1:${port}: ${reason}; set a different port with \`metricsPort\` in the configuration`,
      );
    }
    return undefined;
  }
  server.on("error", (error) => log(`metrics: ${error.message}`));
  signal.addEventListener(
    "abort",
    () => {
      server.close();
      server.closeAllConnections();
    },
    { once: true },
  );
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : port;
}
