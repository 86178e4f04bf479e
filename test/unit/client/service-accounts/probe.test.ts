import { createPublicKey } from "node:crypto";
import t from "tap";

import { checkTokens, probeTokens, signedAt, type TokenServer } from "../../../../client/service-accounts/probe.ts";
import { isSignedBy } from "../../../../client/service-accounts/uses.ts";
import { newTokenKeys } from "../../../fakes/token-cluster.ts";
import { tokenApi } from "../../../fakes/token-api.ts";

const [old, next] = [newTokenKeys(), newTokenKeys()];
const { signal } = new AbortController();

function server(name: string, ...keys: readonly string[]): TokenServer {
  const accepted = keys.map((key) => createPublicKey(key));
  const ask = async (token: string): Promise<number> => {
    for (const key of accepted) if (await isSignedBy(token, key)) return 403;
    return 401;
  };
  return { name, ask };
}

/** Returns a clock on which a delay takes no time. */
function fastClock() {
  let now = 0;
  return {
    monotonic: () => now,
    delay: async (millis: number) => {
      now += millis;
    },
  };
}

t.test("the two probe tokens differ only in their signatures", async (t) => {
  const { current, resigned } = await probeTokens(tokenApi(next.privateKey).api, old.privateKey, { signal });
  t.equal(current.split(".")[1], resigned.split(".")[1]);
  t.ok(await isSignedBy(current, createPublicKey(next.privateKey)));
  t.ok(await isSignedBy(resigned, createPublicKey(old.privateKey)));
  t.notOk(await isSignedBy(resigned, createPublicKey(next.privateKey)));
  t.equal(signedAt(current).toISOString(), "2026-01-31T12:00:00.000Z");
});

t.test("a server that wrongly accepts or rejects a token is reported by name", async (t) => {
  const tokens = await probeTokens(tokenApi(next.privateKey).api, old.privateKey, { signal });
  const [both, fresh, stale] = [
    server("both", old.privateKey, next.privateKey),
    server("fresh", next.privateKey),
    server("stale", old.privateKey),
  ];
  await t.resolves(checkTokens([both], tokens, { otherIs: "accepted", signal }));
  await t.resolves(checkTokens([fresh], tokens, { otherIs: "refused", signal }));
  await t.rejects(checkTokens([fresh, both], tokens, { otherIs: "refused", signal }), {
    code: "VERIFY_FAILED",
    message: "both: a token signed with the old key is accepted (403), but refused is expected",
  });
  await t.rejects(checkTokens([both, fresh], tokens, { otherIs: "accepted", signal }), {
    message: "fresh: a token signed with the old key is refused (401), but accepted is expected",
  });
  await t.rejects(checkTokens([stale], tokens, { otherIs: "refused", signal }), {
    message: /^stale: the API server refuses a token that was signed just now/,
  });
});

t.test("an error is reported if no token is issued", async (t) => {
  const { api } = tokenApi(next.privateKey);
  const none: typeof api = async () => ({ status: 404, body: {} });
  const waiting = { signal, clock: fastClock() };
  await t.rejects(probeTokens(none, old.privateKey, waiting), { code: "VERIFY_FAILED", message: /status 404/ });
  t.equal(waiting.clock.monotonic(), 60_000, "the service account of a new cluster may not exist yet");
  const forbidden: typeof api = async () => ({ status: 403, body: {} });
  await t.rejects(probeTokens(forbidden, old.privateKey, { signal }), { message: /status 403/ }, "no wait");
});

t.test("a token is issued as soon as the service account exists", async (t) => {
  const { api } = tokenApi(next.privateKey);
  const statuses = [404, 404];
  const late: typeof api = async (...given) => {
    const status = statuses.shift();
    return status === undefined ? api(...given) : { status, body: {} };
  };
  const waiting = { signal, clock: fastClock() };
  const { current } = await probeTokens(late, old.privateKey, waiting);
  t.ok(await isSignedBy(current, createPublicKey(next.privateKey)));
  t.equal(waiting.clock.monotonic(), 2000);
});
