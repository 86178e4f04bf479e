import t from "tap";
import type { EtcdLock } from "../../../../agent/etcd/lock.ts";
import { createRestartLease } from "../../../../agent/supervise/restart-lease.ts";
import { KhwError } from "../../../../proto/errors.ts";
import { createFakeOs } from "../../../fakes/os.ts";
import { labDesired, never } from "../../../fixtures/machine.ts";

const keptState = {
  current: () => ({ operationId: "1", desired: labDesired() }),
  damage: () => undefined,
  save: async () => {},
};
const away = new KhwError("NOT_READY", "https://10.240.0.10:2379: connect ECONNREFUSED");

/** Simulates an etcd cluster in which only some servers answer. */
function fakeEtcd(answering: (server: string) => boolean) {
  const holders: string[] = [];
  const asked: string[] = [];
  const etcd: EtcdLock = {
    acquire: async (server, { value }) => {
      asked.push(server);
      if (!answering(server)) throw away;
      if (holders.length > 0) throw new KhwError("BUSY", `${holders[0]} restarts its API server`);
      holders.push(value);
      return { keepAlive: async () => {}, release: async () => void holders.pop() };
    },
  };
  return { etcd, holders, asked };
}

t.test("the lease is granted by the first etcd server that responds, and is released after use", async (t) => {
  const { etcd, holders, asked } = fakeEtcd((server) => server.includes("10.240.0.12"));
  const lease = createRestartLease({ os: createFakeOs(), keptState, etcd });
  {
    await using _ = await lease.take(never);
    t.strictSame(holders, ["controller-0"]);
    await t.rejects(lease.take(never), { code: "BUSY", message: /controller-0/ });
    await t.rejects(lease.take(never, { asked: true }), { code: "BUSY" });
  }
  t.strictSame(holders, []);
  t.strictSame(asked.slice(0, 3), ["https://10.240.0.10:2379", "https://10.240.0.11:2379", "https://10.240.0.12:2379"]);
});

t.test(
  "if etcd is unreachable, the agent waits for its controller's turn, but a requested restart does not wait",
  async (t) => {
    const { etcd } = fakeEtcd(() => false);
    const os = createFakeOs();
    os.clock.advance(30_000);
    const lines: string[] = [];
    const lease = createRestartLease({ os, keptState, etcd, log: (line) => void lines.push(line) });
    const before = os.clock.now();
    await lease.take(never, { asked: true });
    t.equal(os.clock.now(), before);
    await lease.take(never);
    t.equal(
      os.clock.now() - before,
      150_000,
      "the agent waits for the first controller's minute, which comes every three minutes",
    );
    t.match(lines[0], /^no etcd server granted the lease .*ECONNREFUSED/);
  },
);

t.test(
  "if an etcd server cannot be verified, the agent gets no lease, but a requested restart does not wait",
  async (t) => {
    const unverified = new KhwError(
      "CREDENTIAL_INVALID",
      "its certificate cannot be verified: certificate has expired",
    );
    const etcd: EtcdLock = {
      acquire: async (server) => {
        throw server.includes("10.240.0.11") ? unverified : away;
      },
    };
    const os = createFakeOs();
    const before = os.clock.now();
    const lease = createRestartLease({ os, keptState, etcd });
    await t.rejects(lease.take(never), unverified);
    await lease.take(never, { asked: true });
    t.equal(os.clock.now(), before, "a restart that a person requests does not wait");
  },
);
