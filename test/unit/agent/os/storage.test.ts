import { randomBytes } from "node:crypto";
import { createServer } from "node:http";
import { once } from "node:events";
import { portOf } from "../../../fixtures/port-of.ts";
import { join } from "node:path";
import t, { type Test } from "tap";
import { createLargeFiles } from "../../../../agent/os/large-files.ts";
import { readAccessToken } from "../../../../agent/os/service-account.ts";
import { createStorage } from "../../../../agent/os/storage.ts";
import { formatError, toKhwError } from "../../../../proto/errors.ts";
import { createFakeClock } from "../../../fakes/os.ts";
import { startStorageServer, type StorageServer } from "../../../fakes/storage-server.ts";
import { never } from "../../../fixtures/machine.ts";

const part = 8 * 1024 * 1024;
const small = randomBytes(1000);
const large = randomBytes(2 * part + 1000);

function upload(t: Pick<Test, "testdir">, server: StorageServer, content = small) {
  const name = "kubernetes/s.db";
  const file = join(t.testdir({ "s.db": content }), "s.db");
  const token = async (): Promise<string> => server.token;
  const storage = createStorage({
    baseUrl: server.url,
    largeFiles: createLargeFiles(),
    clock: createFakeClock(),
    token,
  });
  return storage.upload({ bucket: "b", name, file, size: content.length, signal: never });
}

t.test("a large file is uploaded completely, in several parts", async (t) => {
  await using server = await startStorageServer();
  await upload(t, server, large);
  t.ok(server.objects.get("b/kubernetes/s.db")?.equals(large));
  t.equal(server.log.filter((line) => line.startsWith("PUT")).length, 3);
});

t.test("an interrupted upload resumes at the position that the server has reached", async (t) => {
  await using server = await startStorageServer();
  server.faults.cutAfter = 1_000_000;
  await upload(t, server, large);
  t.ok(server.objects.get("b/kubernetes/s.db")?.equals(large));
  t.equal(
    server.log[2],
    `PUT bytes */${large.length}`,
    "the client first asks the server how much of the file has arrived",
  );
  t.match(server.log[3], /^PUT bytes \d{6,7}-/);
  t.notMatch(server.log[3], /^PUT bytes 0-/);
});

t.test("a snapshot is uploaded only to Google's hosts and only over TLS", async (t) => {
  await using server = await startStorageServer();
  for (const elsewhere of ["http://192.0.2.1/s", "https://googleapis.com.example/s", "http://www.googleapis.com/s"]) {
    server.faults.elsewhere = elsewhere;
    const error = await upload(t, server).catch(toKhwError);
    t.match(error, { code: "IO_FAILED", message: `redirected the upload to "${new URL(elsewhere).host}"` });
    t.notMatch(error?.message, "/s/", "the error does not contain the secret address of the upload session");
  }
  t.notOk(server.log.some((line) => line.startsWith("PUT")));
});

t.test("an upload fails after six attempts if the server never accepts a part", async (t) => {
  await using server = await startStorageServer();
  server.faults.dead = true;
  await t.rejects(upload(t, server), { code: "IO_FAILED", message: /gs:\/\/b\/kubernetes\/s\.db/ });
  t.equal(server.log.filter((line) => line.startsWith("PUT bytes 0-")).length, 6);
});

t.test("an existing object is never replaced, whether or not it is identical to the file", async (t) => {
  await using server = await startStorageServer();
  await upload(t, server);
  const requests = server.log.length;
  await upload(t, server);
  t.equal(server.log.length, requests + 2, "an identical object is not uploaded again");
  server.objects.set("b/kubernetes/s.db", Buffer.from("somebody else's"));
  await t.rejects(upload(t, server), { code: "IO_FAILED", message: /the object in the bucket differs/ });
  t.equal(server.objects.get("b/kubernetes/s.db")?.toString(), "somebody else's");
});

t.test("an object that differs from the file after the upload is reported", async (t) => {
  await using server = await startStorageServer();
  server.faults.corrupt = true;
  await t.rejects(upload(t, server), { code: "IO_FAILED", message: /the object in the bucket differs/ });
});

t.test("a refused upload is not retried, and the error names the remedy but not the token", async (t) => {
  await using server = await startStorageServer();
  server.faults.refuse = 403;
  const error = toKhwError(
    await upload(t, server).then(
      () => undefined,
      (thrown: unknown) => thrown,
    ),
  );
  t.match(error, {
    code: "IO_FAILED",
    message: /gs:\/\/b\/kubernetes\/s.db: .*403.*no access/,
    hint: /service account/,
  });
  t.notMatch(formatError(error), server.token);
  t.equal(server.log.length, 1);
});

t.test("the access token is read from the metadata server and never appears in an error", async (t) => {
  const answers = ['{"access_token":"ya29.secret","expires_in":3599}', "not JSON ya29.secret", undefined];
  const metadata = createServer((request, response) => {
    t.equal(request.headers["metadata-flavor"], "Google");
    const answer = answers.shift();
    response.writeHead(answer === undefined ? 404 : 200, { "metadata-flavor": "Google" });
    response.end(answer ?? "");
  });
  metadata.listen(0, "127.0.0.1");
  await once(metadata, "listening");
  t.teardown(() => metadata.close());
  const baseUrl = `http://127.0.0.1:${portOf(metadata)}`;
  const read = () => readAccessToken({ baseUrl, clock: createFakeClock(), signal: never });
  t.equal(await read(), "ya29.secret");
  const error = toKhwError(
    await read().then(
      () => undefined,
      (thrown: unknown) => thrown,
    ),
  );
  t.equal(error.code, "METADATA_UNAVAILABLE");
  t.notMatch(`${formatError(error)} ${String(error.cause)}`, /secret/);
  await t.rejects(read(), { code: "METADATA_UNAVAILABLE", message: /no service account/ });
});
