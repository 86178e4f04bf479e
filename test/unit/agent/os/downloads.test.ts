import { execFile } from "node:child_process";
import { mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { connect } from "node:net";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import t, { type Test } from "tap";
import { createDownloads } from "../../../../agent/os/downloads.ts";
import { type Bounds, defaultBounds } from "../../../../agent/os/downloads/file-sink.ts";
import { KhwError } from "../../../../proto/errors.ts";
import type { Clock } from "../../../../agent/os/clock.ts";
import {
  begin,
  content,
  etag,
  good,
  listening,
  mirror,
  send,
  sha256,
  temporaryFolder,
  tlsMirror,
} from "../../../fakes/mirror.ts";

const path = "v1.21.0/bin/linux/amd64/kubectl";

/** A clock whose delays end immediately, so that retries happen at once. */
const clock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  delay: async (_millis, signal) => signal.throwIfAborted(),
};

interface Tried {
  readonly to: string;
  readonly said: readonly string[];
  readonly outcome: unknown;
}

async function download(
  t: Test,
  mirrors: readonly string[],
  { bounds = defaultBounds, ...options }: { readonly bounds?: Bounds; readonly [option: string]: unknown } = {},
): Promise<Tried> {
  const to = join(await temporaryFolder(t), "kubectl");
  const said: string[] = [];
  const downloads = createDownloads({ clock, stallMillis: 300, attempts: 3, bounds });
  const outcome = await downloads
    .file({
      mirrors,
      path,
      proxy: "",
      caPem: "",
      sha256,
      mostBytes: 1e9,
      to,
      signal: new AbortController().signal,
      progress: (text) => said.push(text),
      ...options,
    })
    .catch((error: unknown) => error);
  return { to, said, outcome };
}

async function arrived(t: Test, { to, outcome }: Tried): Promise<void> {
  t.equal(outcome, undefined);
  t.ok((await readFile(to)).equals(content));
  t.equal((await stat(to)).mode & 0o7777, 0o755);
  t.same(await readdir(dirname(to)), ["kubectl"]);
}

async function nothingStays(t: Test, { to }: Tried): Promise<void> {
  t.same(await readdir(dirname(to)), []);
}

t.test("a file is downloaded completely, with its mode and with progress reports", async (t) => {
  const { url, requests } = await mirror(t, good);
  const tried = await download(t, [url]);
  await arrived(t, tried);
  t.equal(requests.length, 1);
  t.equal(requests[0]?.url, `/release/${path}`);
  t.match(tried.said[0], /^[0-3] of 3 MB$/);
});

t.test("an oversized file is refused from a folder, and from a server with or without Content-Length", async (t) => {
  const folder = await temporaryFolder(t);
  await mkdir(dirname(join(folder, path)), { recursive: true });
  await writeFile(join(folder, path), content);
  const announced = await mirror(t, good);
  // Without a Content-Length, Node sends the body in chunks.
  const endless = await mirror(t, (_, response) => response.writeHead(200).end(content));
  for (const from of [announced.url, endless.url, folder]) {
    const tried = await download(t, [from], { mostBytes: 1_000_000 });
    t.match(tried.outcome, {
      code: "DOWNLOAD_FAILED",
      message: /larger than 1000000 bytes, the maximum for such a file/,
    });
    await nothingStays(t, tried);
  }
  t.equal(announced.requests.length, 1, "a file that is too large is requested only once");
});

t.test("a download that would fill the disk does not start", async (t) => {
  const { url } = await mirror(t, good);
  const bounds = { ...defaultBounds, freeSpace: async () => 102 * 1024 ** 2 };
  const tried = await download(t, [url, url], { bounds });
  t.match(tried.outcome, {
    code: "IO_FAILED",
    message: `${tried.to}: the disk has 102 MiB left, but 103 MiB are needed`,
    hint: /free up space/,
  });
  await nothingStays(t, tried);
});

t.test("a disk that fills up during a download is reported", async (t) => {
  const { url } = await mirror(t, (_, response) => {
    for (let count = 0; count < 12; count++) response.write(content);
    response.end();
  });
  let looks = 0;
  const bounds = { ...defaultBounds, freeSpace: async () => (looks++ === 0 ? 1e9 : 50 * 1024 ** 2) };
  const tried = await download(t, [url], { bounds });
  t.match(tried.outcome, { code: "IO_FAILED", message: /the disk has 50 MiB left/ });
  await nothingStays(t, tried);
});

t.test("an interrupted transfer resumes where it stopped", async (t) => {
  const { url, requests } = await mirror(t, (request, response, n) => {
    if (n === 1) begin(response, 1_000_000, () => response.destroy());
    else good(request, response);
  });
  await arrived(t, await download(t, [url]));
  t.equal(requests.length, 2);
  t.match(requests[1]?.headers, { range: /^bytes=[1-9]\d+-$/, "if-range": etag });
});

t.test("a file is completed piece by piece from a mirror that truncates every response", async (t) => {
  const { url, requests } = await mirror(t, (request, response, n) => {
    const from = Number(/\d+/.exec(request.headers.range ?? "0")?.[0]);
    const rest = content.subarray(from);
    response.writeHead(n === 1 ? 200 : 206, {
      etag,
      "content-length": rest.length,
      "content-range": `bytes ${from}-${content.length - 1}/${content.length}`,
    });
    if (rest.length <= 400_000) response.end(rest);
    else response.write(rest.subarray(0, 400_000), () => setTimeout(() => response.destroy(), 20));
  });
  await arrived(t, await download(t, [url]));
  t.ok(
    requests.length > 3,
    `progress resets the count of consecutive failed attempts, whose limit is 3: ${requests.length} requests`,
  );
});

for (const [name, headers] of [
  ["the mirror ignores ranges", { etag }],
  ["the mirror sends no validator", {}],
  ["the validator is weak", { etag: 'W/"one"' }],
] as const) {
  t.test(`an interrupted transfer starts from the beginning if ${name}`, async (t) => {
    const { url, requests } = await mirror(t, (_request, response, n) => {
      if (n === 1) begin(response, 1_000_000, () => response.destroy(), headers);
      else response.writeHead(200, headers).end(content);
    });
    await arrived(t, await download(t, [url]));
    t.equal(requests.length, 2);
    t.equal(requests[1]?.headers.range !== undefined, "etag" in headers && headers.etag === etag);
  });
}

t.test("a file that changes during a download is not assembled from two versions", async (t) => {
  const { url } = await mirror(t, (request, response, n) => {
    if (n === 1) begin(response, 1_000_000, () => response.destroy(), { etag: '"older"' });
    else good(request, response);
  });
  await arrived(t, await download(t, [url]));
});

t.test("a response whose range differs from the requested range is rejected", async (t) => {
  const { url, requests } = await mirror(t, (request, response, n) => {
    if (n === 1) begin(response, 1_000_000, () => response.destroy());
    else if (n === 2) {
      response.writeHead(206, { "content-range": `bytes 7-${content.length - 1}/${content.length}` });
      response.end(content.subarray(7));
    } else good(request, response);
  });
  await arrived(t, await download(t, [url]));
  t.equal(requests.length, 3);
});

t.test("5xx and 429 are retried", async (t) => {
  const { url, requests } = await mirror(t, (request, response, n) => {
    if (n <= 2) response.writeHead(n === 1 ? 503 : 429).end();
    else good(request, response);
  });
  await arrived(t, await download(t, [url]));
  t.equal(requests.length, 3);
});

t.test("a stalled mirror is abandoned in favor of the next mirror", async (t) => {
  const stalling = await mirror(t, (_request, response) => begin(response, 1_000_000, () => undefined, {}));
  const silent = await mirror(t, () => undefined);
  const last = await mirror(t, good);
  await arrived(t, await download(t, [stalling.url, silent.url, last.url]));
  t.equal(stalling.requests.length, 3);
  t.equal(silent.requests.length, 3);
});

t.test("a file that is missing on one mirror is downloaded from the next mirror", async (t) => {
  const none = await mirror(t, (_request, response) => response.writeHead(404).end());
  const last = await mirror(t, good);
  await arrived(t, await download(t, [none.url, last.url]));
  t.equal(none.requests.length, 1, "a 404 is not retried");
});

t.test("a file with a wrong digest is discarded and downloaded from the next mirror", async (t) => {
  const wrong = Buffer.from(content);
  wrong.writeUInt8(wrong.readUInt8(17) ^ 1, 17);
  const bad = await mirror(t, (request, response) => send(wrong, request, response));
  const last = await mirror(t, good);
  await arrived(t, await download(t, [bad.url, last.url]));
  const tried = await download(t, [bad.url]);
  t.match(tried.outcome, { code: "DIGEST_MISMATCH", message: new RegExp(`SHA-256 is [0-9a-f]{64}, not ${sha256}`) });
  await nothingStays(t, tried);
});

t.test("if every mirror fails, the error reports the failure of each mirror and contains no passwords", async (t) => {
  const none = await mirror(t, (_request, response) => response.writeHead(404).end());
  const down = await mirror(t, (_request, response) => response.writeHead(503).end());
  const stalling = await mirror(t, (_request, response) => begin(response, 1_000_000, () => undefined));
  const withPassword = down.url.replace("http://", "http://user:hunter2@");
  const tried = await download(t, [none.url, withPassword, stalling.url, "http://127.0.0.1:9", "/no/such/folder"]);
  const error = tried.outcome;
  if (!(error instanceof KhwError)) throw error;
  const { code, message, hint } = error;
  t.equal(code, "DOWNLOAD_FAILED");
  t.match(
    message,
    `${path}: ${none.url}: HTTP 404; ${down.url}: HTTP 503 (tried 3 times); ${stalling.url}: no data for 0.3 s`,
  );
  t.match(message, /after 1 of 3 MB/);
  t.match(message, /127\.0\.0\.1:9\/?: .*ECONNREFUSED/);
  t.match(message, "/no/such/folder: no such file or directory");
  t.match(hint, /mirrors/);
  t.notMatch(message, /hunter2/);
  await nothingStays(t, tried);
});

t.test("redirects are followed, except redirects from https to http and redirect loops", async (t) => {
  const real = await mirror(t, good);
  const pointing = await mirror(t, (request, response) =>
    response.writeHead(302, { location: `${real.url}${request.url?.replace("/release", "")}` }).end(),
  );
  await arrived(t, await download(t, [pointing.url]));
  const circle = await mirror(t, (request, response) => response.writeHead(302, { location: request.url }).end());
  t.match((await download(t, [circle.url])).outcome, { message: /redirects more than 5 times/ });
  const tls = await tlsMirror(t, (_request, response) => response.writeHead(302, { location: real.url }).end());
  t.match((await download(t, [tls.url], { caPem: tls.caPem })).outcome, { message: /which is not encrypted/ });
});

t.test("files from file URLs and folders are copied and verified like any other source", async (t) => {
  const folder = await temporaryFolder(t);
  await mkdir(dirname(join(folder, path)), { recursive: true });
  await writeFile(join(folder, path), content);
  await arrived(t, await download(t, [folder]));
  await arrived(t, await download(t, [pathToFileURL(folder).href]));
  await writeFile(join(folder, path), "other");
  const tried = await download(t, [folder]);
  t.match(tried.outcome, { code: "DIGEST_MISMATCH" });
  await nothingStays(t, tried);
});

t.test("a text is read from the first mirror that has it, and a text that is too long is refused", async (t) => {
  const none = await mirror(t, (_request, response) => response.writeHead(404).end());
  const long = await mirror(t, (_request, response) => response.end("a".repeat(5000)));
  const last = await mirror(t, (_request, response) => response.end(`${sha256}\n`));
  const downloads = createDownloads({ clock });
  const request = { path: `${path}.sha256`, proxy: "", caPem: "", signal: new AbortController().signal };
  t.strictSame(await downloads.text({ ...request, mirrors: [none.url, long.url, last.url] }), {
    text: `${sha256}\n`,
    mirror: new URL(last.url).href,
  });
  await t.rejects(downloads.text({ ...request, mirrors: [long.url] }), { code: "DOWNLOAD_FAILED", message: /larger/ });
  await t.rejects(downloads.text({ ...request, path: "../../etc/passwd", mirrors: ["/"] }), {
    code: "INVALID_ARGUMENT",
  });
});

t.test("an aborted download fails with the reason for the abort and leaves no files behind", async (t) => {
  const reason = new Error("stop");
  const controller = new AbortController();
  const stalling = await mirror(t, (_request, response) =>
    begin(response, 1_000_000, () => setTimeout(() => controller.abort(reason), 50)),
  );
  const tried = await download(t, [stalling.url], { signal: controller.signal });
  t.equal(tried.outcome, reason);
  await nothingStays(t, tried);
});

t.test("a full disk is reported as a disk error and not as a mirror failure", async (t) => {
  const { url, requests } = await mirror(t, good);
  const folder = await temporaryFolder(t);
  await promisify(execFile)("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", folder]);
  t.teardown(() => promisify(execFile)("umount", [folder]));
  const to = join(folder, "kubectl");
  // Simulates a disk that other programs fill after the check for free space.
  const bounds = { ...defaultBounds, freeSpace: async () => 1e12 };
  const tried = await download(t, [url, url], { to, bounds });
  t.match(tried.outcome, { code: "IO_FAILED", message: /no space left/, hint: /disk is full/ });
  t.equal(requests.length, 1);
  const { outcome } = await download(t, [url], { to });
  t.match(outcome, { code: "IO_FAILED", message: `${to}: the disk has 1 MiB left, but 103 MiB are needed` });
  t.same(await readdir(folder), []);
});

t.test(
  "a mirror with a private CA is trusted if that CA is configured; otherwise the download fails without a retry",
  async (t) => {
    const { url, requests, caPem } = await tlsMirror(t, good);
    await arrived(t, await download(t, [url], { caPem }));
    t.equal(requests.length, 1);
    const { outcome } = await download(t, [url]);
    t.match(outcome, { code: "DOWNLOAD_FAILED", message: /its certificate is not trusted: self-signed certificate$/ });
  },
);

t.test("a download uses the proxy from the request or from the environment", async (t) => {
  const seen: string[] = [];
  const proxy = createServer();
  proxy.on("connect", (request, client, head) => {
    seen.push(`CONNECT ${request.headers["proxy-authorization"] ?? "nobody"}`);
    const [host, port] = request.url?.split(":") ?? [];
    const server = connect(Number(port), host, () => {
      client.write("HTTP/1.1 200 OK\r\n\r\n");
      server.write(head);
      server.pipe(client).pipe(server);
    });
    server.on("error", () => client.destroy());
    client.on("error", () => server.destroy());
  });
  const address = `127.0.0.1:${await listening(t, proxy)}`;
  const { url, caPem } = await tlsMirror(t, good);
  const tried = await download(t, [url], { caPem, proxy: `http://user:hunter2@${address}` });
  await arrived(t, tried);
  t.same(seen, [`CONNECT Basic ${Buffer.from("user:hunter2").toString("base64")}`]);

  process.env["HTTPS_PROXY"] = `http://${address}`;
  t.teardown(() => delete process.env["HTTPS_PROXY"]);
  const before = process.env["NO_PROXY"];
  process.env["NO_PROXY"] = "";
  process.env["no_proxy"] = "";
  await arrived(t, await download(t, [url], { caPem }));
  t.equal(seen.length, 2);
  process.env["NO_PROXY"] = process.env["no_proxy"] = before ?? "";
});
