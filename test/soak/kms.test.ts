/**
 * Lets the agent of a real machine watch a stand-in for a KMS plugin. Kubernetes 1.20 has no KMS v2, so the client
 * refuses the setting. Therefore, the test writes the plugin's settings directly into the agent's stored desired state.
 * A plugin with the older API v1 provokes the API server's own message about a missing socket.
 */
import { createHash } from "node:crypto";
import t from "tap";
import { ApplyRequest, type DesiredState } from "../../proto/gen/khw/agent/v1/agent.ts";
import { openScene, scenario } from "../fixtures/faults.ts";
import { given } from "../fixtures/given.ts";

const unit = "vault-kms.service";
const socket = "/run/vault-kms/socket";
const listen = `use IO::Socket::UNIX; my $s = IO::Socket::UNIX->new(Local => '${socket}', Listen => 5) or die; sleep 1 while 1`;
const unitText = `[Service]\nRuntimeDirectory=vault-kms\nExecStart=/usr/bin/perl -e "${listen.replaceAll("$", "$$$$")}"\n`;
const kept = "/var/lib/khw-agent/target";
const configuration = "/var/lib/kubernetes/encryption-config.yaml";

t.test("the agent reports and repairs problems of a KMS plugin on a controller", async (t) => {
  await using scene = await openScene(1);
  const { workstation, bootstrap } = scene;
  const node = scene.node(0);
  const first = await bootstrap();
  t.equal(first.code, 0, first.stderr);

  const property = async (name: string, of: string): Promise<string> =>
    (await node.must(["systemctl", "show", "--value", `--property=${name}`, of])).trim();
  const change = async (changed: (desired: DesiredState) => DesiredState): Promise<void> => {
    const request = ApplyRequest.decode(Buffer.from(await node.must(["base64", "-w0", kept]), "base64"));
    if (request.desired === undefined) throw new Error("the agent has no stored desired state");
    const bytes = ApplyRequest.encode({ ...request, desired: changed(request.desired) }).finish();
    await node.must(["systemctl", "stop", "khw-agent"]);
    await node.must(["sh", "-c", `base64 -d >${kept}`], { input: Buffer.from(bytes).toString("base64") });
    await node.must(["systemctl", "start", "khw-agent"]);
  };
  const status = async () => {
    const { stdout } = await workstation.khw(["status", "-o", "json", "--nodes", "controller-0"]);
    return stdout === "" ? undefined : JSON.parse(stdout).nodes?.[0];
  };
  const drift = async (): Promise<{ drift: string; remedy: string } | undefined> =>
    (await status())?.drift?.steps?.find(({ id }: { id: string }) => id === "kms/plugin");

  await scenario(t, "bootstrap refuses a release without KMS v2, names the release, and changes nothing", async (t) => {
    const flags = ["--kms-name", "vault", "--kms-socket", socket, "--kms-unit", unit];
    const pid = await property("MainPID", "kube-apiserver");
    const { code, stderr } = await bootstrap(...flags);
    t.not(code, 0);
    t.match(stderr, /encryption\.kms needs Kubernetes 1\.27 or later; 1\.20/);
    t.equal(await property("MainPID", "kube-apiserver"), pid, "the API server was not restarted");
  });

  await scenario(t, "a unit that does not exist is reported by name", async (t) => {
    await change((desired) => ({ ...desired, kms: { unit, socket } }));
    const found = await given("the missing unit is reported", drift);
    t.comment(`${found.drift} -> ${found.remedy}`);
    t.match(found.drift, `the unit ${unit} of the KMS plugin does not exist, so nothing creates ${socket}`);
  });

  await scenario(t, "systemd starts the plugin before the API server", async (t) => {
    await node.must(["sh", "-c", `cat >/etc/systemd/system/${unit}; systemctl daemon-reload`], { input: unitText });
    await given("the API server's unit is repaired", async () =>
      (await property("After", "kube-apiserver")).includes(unit) ? true : undefined,
    );
    t.match(await property("Wants", "kube-apiserver"), unit);
    await node.must(["systemctl", "start", unit]);
    await given("the agent no longer reports a problem", async () =>
      (await drift()) === undefined ? true : undefined,
    );
    await node.must(["systemctl", "stop", "kube-apiserver", unit]);
    await node.must(["systemctl", "start", "kube-apiserver"]);
    t.equal(await property("ActiveState", unit), "active");
    const [plugin, server] = await Promise.all(
      [unit, "kube-apiserver"].map(async (name) => property("ActiveEnterTimestampMonotonic", name)),
    );
    t.comment(`the plugin is active at ${plugin} us, the API server at ${server} us`);
    t.ok(Number(plugin) < Number(server), "the plugin became active before the API server");
  });

  await scenario(t, "the agent reports a missing socket, and the API server keeps running", async (t) => {
    const pid = await property("MainPID", "kube-apiserver");
    await node.must(["rm", socket]);
    const start = Date.now();
    const found = await given("the missing socket is reported", drift);
    t.comment(`after ${Date.now() - start} ms: ${found.drift} -> ${found.remedy}`);
    t.match(found.drift, `the socket ${socket} of the KMS plugin ${unit} does not exist`);
    t.equal(await property("MainPID", "kube-apiserver"), pid, "the API server was not restarted");
    await node.must(["systemctl", "restart", unit]);
    await given("the socket is no longer reported", async () => ((await drift()) === undefined ? true : undefined));
  });

  await scenario(t, "the agent restarts a failed plugin, but only reports a stopped plugin", async (t) => {
    const start = Date.now();
    await node.must(["systemctl", "kill", "--signal=KILL", unit]);
    await given("the plugin has failed", async () =>
      (await property("ActiveState", unit)) === "failed" ? true : undefined,
    );
    await given("the plugin runs again", async () =>
      (await property("ActiveState", unit)) === "active" ? true : undefined,
    );
    t.comment(`started again after ${Date.now() - start} ms`);
    await node.must(["systemctl", "stop", unit]);
    const found = await given("the stopped plugin is reported", async () => {
      const reported = await drift();
      return reported?.drift.includes("vault-kms.service is inactive") ? reported : undefined;
    });
    t.match(found, { remedy: "on the node: systemctl start vault-kms.service" });
    t.equal(await property("ActiveState", unit), "inactive", "the agent did not start the plugin");
  });

  await scenario(
    t,
    "if an API server is not ready without its KMS plugin, the diagnosis names the missing socket",
    async (t) => {
      const provider = `kms: {name: old, endpoint: "unix:///run/old-kms/socket", timeout: 1s}`;
      const text = (await node.must(["cat", configuration])).replace(
        /^( *)- identity: \{\}/m,
        (line, indent) => `${indent}- ${provider}\n${line}`,
      );
      t.match(text, provider);
      const sha256 = createHash("sha256").update(text).digest("hex");
      await node.must(["systemctl", "stop", "khw-agent"]);
      await node.must(["sh", "-c", `cat >${configuration}`], { input: text });
      await change((desired) => ({
        ...desired,
        kms: undefined,
        credentials: desired.credentials.map((credential) =>
          credential.name === "encryption-config.yaml"
            ? { ...credential, content: Buffer.from(text), sha256 }
            : credential,
        ),
      }));
      await node.must(["systemctl", "restart", "kube-apiserver"]);
      const reported = async () => {
        const server = (await status())?.components?.find(({ name }: { name: string }) => name === "kube-apiserver");
        return server?.diagnosis?.cause === "kms-socket-missing" ? server : undefined;
      };
      // The agent repairs the unit first, and waits up to 180 s for the API server. During this time, the agent makes
      // no diagnosis.
      const found = await given("the cause is reported", reported, 400_000);
      t.comment(`${found.reason}: ${found.diagnosis.message} -> ${found.diagnosis.remedy}`);
      t.match(found.diagnosis.message, "the socket /run/old-kms/socket of its KMS plugin does not exist");
      const log = await node.must(["sh", "-c", "journalctl -u kube-apiserver -o cat | grep -i kms | tail -5"]);
      t.comment(log);
    },
  );
});
