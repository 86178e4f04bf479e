import t from "tap";
import { programs } from "../../../../proto/components.ts";
import { KhwError } from "../../../../proto/errors.ts";
import { type Event, OperationState } from "../../../../proto/gen/khw/agent/v1/agent.ts";
import { labState } from "../../../fixtures/lab-cluster.ts";
import { digest, labDesired } from "../../../fixtures/machine.ts";
import {
  etcdServers,
  older,
  newer,
  scene,
  isNewer,
  crashWhen,
  crashWhenNewer,
  answerWhenNewer,
} from "../../../fixtures/rollback-scene.ts";

t.test("an API server that crashes after an upgrade is rolled back to the old release", async (t) => {
  const { os, node, apply, runs } = await scene(t);
  crashWhenNewer(os, "kube-apiserver");
  const { operation, kinds, events } = await apply(newer);
  t.match(operation, {
    state: OperationState.OPERATION_STATE_FAILED,
    error: { code: "SERVICE_FAILED", step: "service/kube-apiserver", hint: /the node is back in its previous state$/ },
    rolledBack: { error: undefined },
  });
  t.equal(kinds.filter((kind) => kind === "rollbackStarted").length, 1);
  t.match(events.at(-1), { kind: { $case: "operationFinished", value: { rolledBack: { error: undefined } } } });
  for (const program of ["kube-apiserver", "kube-scheduler", "kubectl"])
    t.equal(runs(program), `${program} of v1.21.0`);
  t.match(await os.systemd.unit("kube-apiserver.service"), { activeState: "active" });
  t.strictSame(node.keptState.current()?.desired, older);
  await node.history.settled();
  const written = os.files.text("/var/lib/khw-agent/history") ?? "";
  t.match(written, /rolled back to the previous state/);
});

t.test("an API server that fails its health check is rolled back after three minutes", async (t) => {
  const { os, apply } = await scene(t);
  answerWhenNewer(os, { status: 500, body: "[-]poststarthook/rbac failed: reason withheld" });
  const begun = os.clock.now();
  t.match(await apply(newer), { operation: { error: { code: "NOT_READY" }, rolledBack: { error: undefined } } });
  t.ok(os.clock.now() - begun >= 180_000);
  t.notOk(isNewer(os));
});

t.test("an API server that hangs is rolled back", async (t) => {
  const { os, apply } = await scene(t);
  answerWhenNewer(os, { status: 0, body: "no answer within 3 s", failure: "silent" });
  t.match(await apply(newer), { operation: { error: { code: "NOT_READY" }, rolledBack: { error: undefined } } });
});

t.test("a failed download changes nothing, and nothing is rolled back", async (t) => {
  const { os, apply } = await scene(t);
  os.mirror.delete("v1.22.0/bin/linux/amd64/kube-scheduler.sha256");
  const { operation, kinds } = await apply(newer);
  t.match(operation, { error: { code: "DOWNLOAD_FAILED" }, rolledBack: undefined });
  t.notOk(kinds.includes("rollbackStarted"));
});

t.test("a failed apply of the recorded state is not rolled back, because no other state is recorded", async (t) => {
  const { os, apply } = await scene(t);
  await os.systemd.stop("kube-apiserver.service", new AbortController().signal);
  os.systemd.failing.set("kube-apiserver.service", "exit-code");
  const { operation, kinds } = await apply(older);
  t.match(operation, { error: { code: "SERVICE_FAILED" }, rolledBack: undefined });
  t.notOk(kinds.includes("rollbackStarted"));
});

t.test("a failed apply on a new machine is not rolled back, because no earlier state is recorded", async (t) => {
  const { os, apply } = await scene(t, { kept: null });
  crashWhenNewer(os, "kube-apiserver");
  t.match(await apply(newer), { operation: { error: { code: "SERVICE_FAILED" }, rolledBack: undefined } });
});

t.test("a machine is not rolled back if its recorded desired state cannot be read", async (t) => {
  const { os, ending } = await scene(t);
  ending.abort();
  os.files.put("/var/lib/khw-agent/target", "");
  const { apply } = await scene(t, { os, kept: null });
  crashWhenNewer(os, "kube-apiserver");
  t.match(await apply(newer), { operation: { error: { code: "SERVICE_FAILED" }, rolledBack: undefined } });
});

t.test("a machine that was not healthy before the change is not rolled back, and the error says so", async (t) => {
  const { os, apply } = await scene(t);
  os.answers.set("https://127.0.0.1:10259/healthz", { status: 500, body: "" });
  crashWhenNewer(os, "kube-apiserver");
  const { operation, kinds } = await apply(newer);
  t.match(
    operation?.error?.hint,
    /not rolled back, because .* was not healthy .*ready\/kube-scheduler: \/healthz answers 500/,
  );
  t.notOk(kinds.includes("rollbackStarted"));
  t.ok(isNewer(os));
});

t.test("with no_rollback, a failed change is left in place", async (t) => {
  const { os, apply } = await scene(t);
  crashWhenNewer(os, "kube-apiserver");
  const { operation, kinds } = await apply(newer, { noRollback: true });
  t.match(operation, { error: { code: "SERVICE_FAILED" }, rolledBack: undefined });
  t.notMatch(operation?.error?.hint, "rolled back");
  t.notOk(kinds.includes("rollbackStarted"));
  t.ok(isNewer(os));
});

t.test("if the rollback also fails, the error states the reason", async (t) => {
  const { os, node, apply } = await scene(t);
  let crashes = false;
  crashWhen(os, "kube-apiserver", () => (crashes ||= isNewer(os)));
  const { operation } = await apply(newer);
  t.match(operation, {
    error: {
      step: "service/kube-apiserver",
      hint: /the rollback to the previous state also failed: service\/kube-apiserver: /,
    },
    rolledBack: { error: { code: "SERVICE_FAILED" } },
  });
  t.strictSame(node.keptState.current()?.desired, older);
});

t.test("a rollback that does not restart the API server does not stop its clients", async (t) => {
  const { os, apply } = await scene(t);
  const flags = { "kube-scheduler": { set: { v: "4" }, remove: [] } };
  const changed = (): boolean =>
    os.files.text("/etc/systemd/system/kube-scheduler.service")?.includes("--v=4") === true;
  crashWhen(os, "kube-scheduler", changed);
  t.match(await apply(labDesired({ flags })), { operation: { rolledBack: { error: undefined } } });
  t.notOk(changed());
  t.notOk(os.systemd.changes.some((change) => change.startsWith("stop kube-")));
});

t.test("files shared by all controllers are not rolled back on a single controller", async (t) => {
  const credentials = labState().credentials;
  const changed = (wanted: string) =>
    credentials.map(({ name, ...rest }) => {
      const content = Buffer.from("another");
      return name === wanted ? { name, content, sha256: digest("another") } : { name, ...rest };
    });
  for (const name of ["ca.pem", "service-account.pem", "service-account-key.pem", "encryption-config.yaml"]) {
    const { os, apply } = await scene(t);
    crashWhenNewer(os, "kube-apiserver");
    const { operation, kinds } = await apply(labDesired({ kubernetesVersion: "v1.22.0", credentials: changed(name) }));
    t.match(
      operation,
      { error: { hint: new RegExp(`not rolled back, because the operation also changes ${name},`) } },
      name,
    );
    t.notOk(kinds.includes("rollbackStarted"));
  }
  const { os, apply } = await scene(t);
  crashWhenNewer(os, "kube-apiserver");
  const cluster = {
    ...older.cluster,
    controllers: [...older.cluster.controllers],
    leaving: [],
    etcdServers,
    nodePortRange: "30000-30100",
  };
  const { operation } = await apply(labDesired({ kubernetesVersion: "v1.22.0", cluster }));
  t.match(operation?.error?.hint, /the operation also changes the cluster's addresses or IP ranges/);
});

t.test("a certificate that belongs only to the node is rolled back", async (t) => {
  const { os, apply } = await scene(t);
  const before = os.files.text("/var/lib/kubernetes/kubernetes.pem");
  const credentials = labState().credentials.map((credential) =>
    credential.name === "kubernetes.pem"
      ? { name: credential.name, content: Buffer.from("another"), sha256: digest("another") }
      : credential,
  );
  crashWhen(os, "kube-apiserver", () => os.files.text("/var/lib/kubernetes/kubernetes.pem") === "another");
  t.match(await apply(labDesired({ credentials })), { operation: { rolledBack: { error: undefined } } });
  t.equal(os.files.text("/var/lib/kubernetes/kubernetes.pem"), before);
});

t.test("if the disk is full, nothing is rolled back and the reason is reported", async (t) => {
  const { os, apply } = await scene(t);
  crashWhenNewer(os, "kube-apiserver");
  os.files.free = 1024 * 1024;
  const { operation, kinds } = await apply(newer);
  t.match(operation?.error?.hint, /not rolled back, because only 1024 KiB are free in /);
  t.notOk(kinds.includes("rollbackStarted"));
});

t.test("nothing is rolled back if the record of the rollback cannot be written", async (t) => {
  const { os, apply } = await scene(t);
  crashWhenNewer(os, "kube-apiserver");
  const write = os.files.write.bind(os.files);
  let writes = 0;
  Object.assign(os.files, {
    write: async (...[path, content, mode]: Parameters<typeof write>) => {
      if (path === "/var/lib/khw-agent/operation" && ++writes === 2) throw new KhwError("IO_FAILED", "it is read-only");
      await write(path, content, mode);
    },
  });
  const { operation, kinds } = await apply(newer);
  t.match(operation?.error?.hint, /not rolled back, because it is read-only/);
  t.notOk(kinds.includes("rollbackStarted"));
});

t.test("deleted programs of the previous release are downloaded again before anything is stopped", async (t) => {
  for (const there of [true, false]) {
    const { os, apply, runs } = await scene(t);
    crashWhenNewer(os, "kube-scheduler");
    const onEvent = ({ kind }: Event): void => {
      if (kind?.$case !== "stepStarted" || kind.value.step !== "service/kube-scheduler") return;
      for (const program of programs) os.files.drop(`/usr/local/lib/khw/kubernetes/v1.21.0/${program}`);
      if (!there) os.mirror.delete("v1.21.0/bin/linux/amd64/kube-controller-manager");
    };
    const { operation } = await apply(newer, { onEvent });
    if (there) {
      t.match(operation, { rolledBack: { error: undefined } });
      t.equal(runs("kube-apiserver"), "kube-apiserver of v1.21.0");
    } else {
      t.match(operation, { rolledBack: { error: { step: "release/kube-controller-manager" } } });
      t.equal(runs("kube-apiserver"), "kube-apiserver of v1.22.0");
      const stops = os.systemd.changes.filter((change) => change === "stop kube-controller-manager.service");
      t.equal(stops.length, 1, "only the failed operation has stopped it");
    }
  }
});
