import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import t, { type Test } from "tap";
import { createClock } from "../../../../agent/os/clock.ts";
import { readIdentity } from "../../../../agent/os/metadata.ts";
import { listening } from "../../../fakes/mirror.ts";
import type { Identity } from "../../../../proto/gen/khw/agent/v1/agent.ts";

const values: Readonly<Record<string, string>> = {
  "instance/name": "controller-0",
  "instance/network-interfaces/0/ip": "10.240.0.10",
  "instance/zone": "projects/1234/zones/us-west1-c",
  "project/project-id": "khw-testbed",
  "project/attributes/google-compute-default-region": "us-west1",
};

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

/** Returns a handler that answers like Google's metadata server, but with the changed values. */
function google(changes: Readonly<Record<string, string | undefined>> = {}): Answer {
  const all = { ...values, ...changes };
  return (request, response) => {
    const value = all[request.url?.replace("/computeMetadata/v1/", "") ?? ""];
    const asked = request.headers["metadata-flavor"] === "Google";
    const status = asked ? (value === undefined ? 404 : 200) : 403;
    response.writeHead(status, { "metadata-flavor": "Google", "content-type": "application/text" });
    response.end(status === 200 ? value : "");
  };
}

async function ask(t: Test, answer: Answer, deadlineMillis = 5000): Promise<Identity> {
  const port = await listening(t, createServer(answer));
  return readIdentity({
    baseUrl: `http://127.0.0.1:${port}`,
    clock: createClock(),
    signal: new AbortController().signal,
    deadlineMillis,
    attemptMillis: 200,
  });
}

const controller0 = {
  name: "controller-0",
  internalIp: "10.240.0.10",
  zone: "us-west1-c",
  region: "us-west1",
  project: "khw-testbed",
};

t.test("the metadata client returns the instance's name, addresses, zone, region and project", async (t) => {
  t.same(await ask(t, google()), controller0);
});

t.test("the region is derived from the zone if the project has no default region", async (t) => {
  const identity = await ask(
    t,
    google({
      "project/attributes/google-compute-default-region": undefined,
      "instance/zone": "projects/1/zones/europe-north1-b",
    }),
  );
  t.equal(identity.region, "europe-north1");
});

t.test("the metadata client retries after a 503 and after a timeout", async (t) => {
  let requests = 0;
  const identity = await ask(t, (request, response) => {
    requests += 1;
    if (requests <= 5) response.writeHead(503).end();
    else if (requests <= 7) request.resume();
    else google()(request, response);
  });
  t.same(identity, controller0);
});

t.test(
  "the metadata client follows no redirects, and rejects responses without the Metadata-Flavor header",
  async (t) => {
    await t.rejects(
      ask(t, (_, response) => response.end("10.240.0.10")),
      { code: "METADATA_UNAVAILABLE", message: /lacks the header Metadata-Flavor/ },
    );
    await t.rejects(
      ask(t, (_, response) =>
        response.writeHead(302, { location: "http://127.0.0.1:9/", "metadata-flavor": "Google" }).end(),
      ),
      { code: "METADATA_UNAVAILABLE", message: /HTTP 302/ },
    );
  },
);

for (const [name, garbage] of [
  ["instance/network-interfaces/0/ip", "<html>captive portal</html>"],
  ["instance/network-interfaces/0/ip", "10.240.0.300"],
  ["instance/network-interfaces/0/ip", ""],
  ["instance/name", "Controller 0; rm -rf /"],
  ["instance/zone", "us-west1"],
  ["project/project-id", "../../etc"],
  ["project/attributes/google-compute-default-region", "everywhere"],
  ["instance/name", undefined],
] as const) {
  t.test(`refuses ${JSON.stringify(garbage)} as ${name}`, async (t) => {
    const named = new RegExp(name.split("/").at(-1) ?? name);
    await t.rejects(ask(t, google({ [name]: garbage })), { code: "METADATA_UNAVAILABLE", message: named });
  });
}

t.test("refuses an oversized value", async (t) => {
  await t.rejects(ask(t, google({ "instance/name": "a".repeat(100_000) })), {
    code: "METADATA_UNAVAILABLE",
    message: /longer than 4096 bytes/,
  });
});

t.test("the metadata client gives up at the deadline and reports the last failure", async (t) => {
  const start = performance.now();
  await t.rejects(
    ask(t, (_, response) => response.writeHead(503).end(), 700),
    { code: "METADATA_UNAVAILABLE", message: /within 0.7 s; last: .*instance\/name: HTTP 503/, hint: /configuration/ },
  );
  t.ok(performance.now() - start < 2000);
  await t.rejects(
    readIdentity({
      baseUrl: "http://127.0.0.1:9",
      clock: createClock(),
      signal: new AbortController().signal,
      deadlineMillis: 500,
    }),
    { code: "METADATA_UNAVAILABLE", message: /last: .*ECONNREFUSED/ },
  );
});

t.test("the metadata client stops when the caller aborts, and rejects with the caller's reason", async (t) => {
  const reason = new Error("stop");
  await t.rejects(
    readIdentity({ baseUrl: "http://127.0.0.1:9", clock: createClock(), signal: AbortSignal.abort(reason) }),
    reason,
  );
});
