import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import t, { type Test } from "tap";
import { openHttp } from "../../../../client/gce/http.ts";
import { portOf } from "../../../fixtures/port-of.ts";

const signal = new AbortController().signal;
const retry = { tries: 1, firstMillis: 1, maxMillis: 1 };
const credentials = async () => ({ authorization: "Bearer ya29.secret" });
const request = { method: "GET", path: "projects/p", what: "get the project" } as const;

async function serve(t: Test, listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  await once(server.listen(0, "127.0.0.1"), "listening");
  t.teardown(() => server.close());
  return `http://127.0.0.1:${portOf(server)}/`;
}

t.test("a redirect is an error, so that the token is never sent to another host", async (t) => {
  const asked: string[] = [];
  const other = await serve(t, (asking, response) => {
    asked.push(asking.headers.authorization ?? "");
    response.end("{}");
  });
  const endpoint = await serve(t, (_, response) => response.writeHead(307, { location: other }).end());
  await using http = openHttp({ endpoint, credentials, retry });
  await t.rejects(http.send(request, signal), { code: "COMPUTE_FAILED" });
  t.strictSame(asked, []);
});

t.test("a token is not sent without TLS", async (t) => {
  await using http = openHttp({ endpoint: "http://compute.googleapis.com/", credentials, retry });
  await t.rejects(http.send(request, signal), {
    code: "INVALID_ARGUMENT",
    message: "gce.endpoint: credentials are not sent to compute.googleapis.com without TLS",
  });
});
