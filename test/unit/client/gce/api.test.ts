import t from "tap";
import { KhwError } from "../../../../proto/errors.ts";
import {
  globalReference,
  instanceReference,
  nameInLink,
  pathOf,
  regionalReference,
} from "../../../../client/gce/references.ts";
import {
  operationRefusal,
  readRefusal,
  Refusal,
  computeError,
  refusedBecause,
} from "../../../../client/gce/refusal.ts";
import { readers } from "../../../../client/gce/resources.ts";
import { isTransient, pauseMillis } from "../../../../client/gce/retry.ts";
import { pause } from "../../../../proto/wait-for.ts";

const place = { project: "lab", region: "us-west1" };

t.test("a resource reference is a path, and a link is read only from projects/ onward", async (t) => {
  const pool = regionalReference(place, "targetPools", "pool");
  t.equal(pool.path, "projects/lab/regions/us-west1/targetPools/pool");
  t.equal(pathOf(`https://www.googleapis.com/compute/v1/${pool.path}`), pool.path);
  t.equal(pathOf(`https://compute.googleapis.com/compute/v1/${pool.path}`), pool.path);
  t.equal(pathOf(pool.path), pool.path);
  t.equal(nameInLink(pool.path), "pool");
});

t.test("a resource name that would change the URL is refused", async (t) => {
  const badly = { code: "INVALID_ARGUMENT" };
  for (const name of ["", "a/b", "../x", "a?b", "a b", "A", "-a", "a-", "%2e"]) {
    t.throws(() => globalReference(place, "firewalls", name), badly, JSON.stringify(name));
    t.throws(() => regionalReference({ ...place, region: name }, "addresses", "a"), badly);
    t.throws(() => instanceReference(name, { name: "a", zone: "z" }), badly);
  }
  t.equal(globalReference({ ...place, project: "example.com:lab" }, "firewalls", "a").name, "a");
});

t.test(
  "responses are read with defaults for fields that Google omits, and invalid responses are refused",
  async (t) => {
    t.strictSame(readers.targetPools({}), { healthChecks: [], instances: [] });
    t.match(readers.firewalls({ allowed: [{ IPProtocol: "tcp" }] }), {
      allowed: [{ IPProtocol: "tcp", ports: [] }],
      disabled: false,
    });
    t.equal(readers.httpHealthChecks({ host: "h" }).port, 80);
    for (const wrong of [{ instances: "x" }, { instances: [1] }])
      t.throws(() => readers.targetPools(wrong), { code: "COMPUTE_FAILED", message: /instances is not a list/ });
    t.throws(() => readers.addresses({ address: 7 }), { message: /address is not a string/ });
    t.throws(() => readers.httpHealthChecks({ port: "80" }), { message: /port is not a number/ });
    t.throws(() => readers.instances({ networkInterfaces: [7] }), {
      message: /networkInterfaces is not a list of objects/,
    });
  },
);

t.test("Google's errors are reported verbatim, with a remedy for common errors", async (t) => {
  const cases: [status: number, reason: string, path: string, hint: RegExp | undefined][] = [
    [401, "authError", "projects/lab/global/firewalls", /gcloud auth application-default login/],
    [403, "forbidden", "projects/lab/global/firewalls", /roles\/compute\.securityAdmin in project lab/],
    [403, "forbidden", "projects/lab/regions/r/addresses", /roles\/compute\.loadBalancerAdmin in project lab/],
    [403, "forbidden", "projects/lab/aggregated/instances", /roles\/compute\.viewer in project lab/],
    [403, "quotaExceeded", "projects/lab/global/firewalls", /iam-admin\/quotas\?project=lab/],
    [403, "rateLimitExceeded", "projects/lab/global/firewalls", /wait a minute/],
    [403, "accessNotConfigured", "projects/lab/global/firewalls", /gcloud services enable compute/],
    [404, "notFound", "projects/lab/global/firewalls", /gce\.network/],
    [400, "resourceInUseByAnotherResource", "projects/lab/global/firewalls", /remove the resource that uses it first/],
    [400, "invalid", "projects/lab/global/firewalls", undefined],
  ];
  for (const [code, reason, path, hint] of cases) {
    const body = { error: { code, message: "as it is", errors: [{ reason, domain: "global" }] } };
    const error = computeError("insert firewalls/f", path, readRefusal(code, body, undefined));
    t.equal(error.message, `insert firewalls/f: ${code} ${reason}: as it is`);
    t.equal(error.code, "COMPUTE_FAILED");
    if (hint === undefined) t.equal(error.hint, undefined);
    else t.match(error.hint, hint);
  }
});

t.test("an error is recognized in both of Google's spellings, even after khw has added its location", async (t) => {
  const operation = {
    status: "DONE",
    httpErrorStatusCode: 409,
    error: { errors: [{ code: "RESOURCE_ALREADY_EXISTS", message: "there" }] },
  };
  const refusal = operationRefusal(operation) ?? t.fail("not a refusal");
  t.ok(refusedBecause(refusal, "alreadyExists"));
  if (refusal instanceof Refusal) {
    t.ok(refusedBecause(computeError("insert", "projects/lab", refusal).at({ step: "s" }), "alreadyExists"));
  }
  t.notOk(refusedBecause(new KhwError("COMPUTE_FAILED", "alreadyExists"), "alreadyExists"));
  t.equal(operationRefusal({ status: "DONE" }), undefined);
  t.match(readRefusal(502, undefined, undefined), { status: 502, reason: "", message: "no explanation" });
});

t.test("temporary errors are retried, and other errors are not", async (t) => {
  const coded = (code: string) => Object.assign(new Error("x"), { code });
  for (const status of [429, 500, 502, 503])
    t.ok(isTransient(new Refusal(status, "", { reason: "x" })), String(status));
  t.ok(isTransient(new Refusal(403, "", { reason: "rateLimitExceeded" })));
  t.ok(isTransient(new Refusal(400, "", { reason: "resourceNotReady" })));
  t.ok(isTransient(coded("ECONNRESET")));
  t.ok(isTransient(new DOMException("late", "TimeoutError")));
  for (const [status, reason] of [
    [403, "quotaExceeded"],
    [403, "forbidden"],
    [404, "notFound"],
    [409, "alreadyExists"],
    [401, "authError"],
  ] as const)
    t.notOk(isTransient(new Refusal(status, "", { reason })), reason);
  t.notOk(isTransient(coded("ENOTFOUND")));
  t.notOk(isTransient("text"));
});

t.test("pauses double up to a limit, are randomized, and honor Retry-After", async (t) => {
  const policy = { tries: 9, firstMillis: 100, maxMillis: 1000 };
  for (let failures = 1; failures <= 9; failures++) {
    const middle = Math.min(1000, 100 * 2 ** (failures - 1));
    const millis = pauseMillis(failures, new Error("x"), policy);
    t.ok(
      millis >= middle * 0.8 && millis <= middle * 1.2,
      `the pause after ${failures} failures is within 20 % of ${middle} ms: ${millis}`,
    );
  }
  t.equal(pauseMillis(1, readRefusal(429, {}, "2"), policy), 2000);
  t.equal(pauseMillis(1, readRefusal(429, {}, "3600"), policy), 4000);
});

t.test("an aborted pause throws the signal's reason", async (t) => {
  const abort = new AbortController();
  const reason = new KhwError("CANCELLED", "Ctrl-C");
  setImmediate(() => abort.abort(reason));
  await t.rejects(pause(60_000, abort.signal), reason);
});
