import t from "tap";
import { KhwError } from "../../../../proto/errors.ts";
import type { Event } from "../../../../proto/gen/khw/agent/v1/agent.ts";
import { labDesired } from "../../../fixtures/machine.ts";
import {
  etcdServers,
  newer,
  scene,
  isNewer,
  crashWhenNewer,
  answerWhenNewer,
} from "../../../fixtures/rollback-scene.ts";

t.test("an agent that cannot reach its own loopback address does not roll back, and the error says why", async (t) => {
  const { os, apply } = await scene(t);
  crashWhenNewer(os, "kube-apiserver");
  os.self = { ...os.self, loopback: "connect ETIMEDOUT" };
  const { operation } = await apply(newer);
  t.match(operation, {
    rolledBack: undefined,
    error: { hint: /cannot be sure that the change caused the failure: .*ETIMEDOUT/ },
  });
  t.ok(isNewer(os));
});

t.test("since the agent's clock may be wrong, a failed TLS handshake does not cause a rollback", async (t) => {
  for (const failure of ["unverified", "rejected", "closed", "own"] as const) {
    const { os, apply } = await scene(t);
    answerWhenNewer(os, { status: 0, body: "certificate is not yet valid", failure });
    const { operation } = await apply(newer);
    t.match(
      operation,
      { rolledBack: undefined, error: { hint: /cannot be sure that the change caused the failure: kube-apiserver: / } },
      failure,
    );
    t.ok(isNewer(os));
  }
});

t.test("a component that has become healthy again is not rolled back", async (t) => {
  const { os, apply } = await scene(t);
  const usual = new Map(os.answers);
  answerWhenNewer(os, { status: 500, body: "" });
  const onEvent = ({ kind }: Event): void => {
    if (kind?.$case === "stepFinished" && kind.value.error !== undefined) os.answers.get = (url) => usual.get(url);
  };
  const { operation } = await apply(newer, { onEvent });
  t.match(operation, { rolledBack: undefined, error: { code: "NOT_READY", hint: /it is healthy now/ } });
});

t.test("a crashing API server causes no rollback if no etcd server can be verified as healthy", async (t) => {
  const { os, apply } = await scene(t);
  crashWhenNewer(os, "kube-apiserver");
  for (const server of etcdServers) {
    os.answers.set(`${server}/health`, { status: 0, body: "certificate is not yet valid", failure: "unverified" });
  }
  const { operation, kinds } = await apply(newer);
  t.match(operation?.error?.hint, /no other etcd server is known to be healthy \(.*certificate is not yet valid/);
  t.notOk(kinds.includes("rollbackStarted"));
});

t.test("a failure without an unhealthy component causes no rollback", async (t) => {
  const { os, apply } = await scene(t);
  const write = os.files.write.bind(os.files);
  Object.assign(os.files, {
    write: async (...[path, content, mode]: Parameters<typeof write>) => {
      if (path === "/etc/systemd/system/kube-apiserver.service") throw new KhwError("IO_FAILED", "the disk is full");
      await write(path, content, mode);
    },
  });
  const { operation, kinds } = await apply(
    labDesired({ kubernetesVersion: "v1.22.0", flags: { "kube-apiserver": { set: { v: "4" }, remove: [] } } }),
  );
  t.match(operation?.error, { step: "unit/kube-apiserver", hint: /not rolled back, because no component failed/ });
  t.notOk(kinds.includes("rollbackStarted"));
});

t.test("a failed restart causes no rollback if the service keeps running", async (t) => {
  const { os, apply } = await scene(t);
  const restart = os.systemd.restart.bind(os.systemd);
  Object.assign(os.systemd, {
    restart: async (...[name, signal]: Parameters<typeof restart>) => {
      if (name === "kube-apiserver.service")
        throw new KhwError("SERVICE_FAILED", "systemd's D-Bus connection is closed");
      await restart(name, signal);
    },
  });
  const { operation, kinds } = await apply(newer);
  t.match(operation?.error?.hint, /kube-apiserver: it is healthy now/);
  t.notOk(kinds.includes("rollbackStarted"));
});
