import { once } from "node:events";
import { createServer } from "node:net";
import t from "tap";
import { tryConnection } from "../../../../agent/os/try-connection.ts";
import { portOf } from "../../../fixtures/port-of.ts";

const never = new AbortController().signal;

t.test(
  "an accepted connection counts as a success and is then closed, and a refused connection is reported",
  async (t) => {
    const server = createServer((socket) => socket.resume());
    const accepted = once(server, "connection");
    await once(server.listen(0, "127.0.0.1"), "listening");
    const options = { port: portOf(server), timeoutMillis: 5000, signal: never };
    t.equal(await tryConnection("127.0.0.1", options), "");
    const [socket] = await accepted;
    await once(socket, "close");
    await new Promise((resolve) => server.close(resolve));
    t.equal(await tryConnection("127.0.0.1", options), "ECONNREFUSED");
  },
);

t.test("an abort is thrown as an error and not returned as a result", async (t) => {
  await t.rejects(tryConnection("127.0.0.1", { port: 9, timeoutMillis: 5000, signal: AbortSignal.abort() }));
});
