/** Queries the agent with third-party software: Debian's Python library for gRPC, and Prometheus's parser. */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import t from "tap";
import { openScene } from "../fixtures/faults.ts";
import { must } from "../testbed/command.ts";

const root = join(import.meta.dirname, "../..");

t.test("third-party clients can use an agent on a machine that is not yet a controller", async (t) => {
  await using scene = await openScene(1);
  const { testbed, workstation } = scene;
  const node = scene.node(0);

  await t.test("a Python client can call the agent using only the .proto files", async (t) => {
    const descriptors = join(workstation.folder, "descriptors.binpb");
    t.teardown(() => rm(descriptors, { force: true }));
    const protos = ["khw/agent/v1/agent.proto", "grpc/health/v1/health.proto", "grpc/reflection/v1/reflection.proto"];
    await must(["protoc", `--proto_path=${root}/proto`, `--descriptor_set_out=${descriptors}`, ...protos]);
    const script = join(root, "test/fixtures/grpcio-client.py");
    const pki = join(workstation.folder, "khw-pki");
    const target = "10.240.0.10:7443";
    const said = await testbed.must(["/usr/bin/python3", script, target, node.name, pki, descriptors]);
    const services = ["grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "khw.agent.v1.AgentService"];
    const answers: { readonly lines: readonly string[] } = JSON.parse(said);
    t.match(answers, {
      status: {
        identity: { name: "controller-0", internalIp: "10.240.0.10" },
        machine: { cpus: Number },
        certificates: [
          { path: "/etc/etcd/ca.pem" },
          { path: "/etc/etcd/kubernetes.pem" },
          { path: "/etc/khw-agent/pki/agent.pem", subject: "O=khw:agent,CN=controller-0" },
          { path: "/etc/khw-agent/pki/ca.pem" },
        ],
      },
      health: { status: "SERVING" },
      first: "full",
      followed: [String],
      history: [/^khw-agent \d+\.\d+\.\d+ started$/],
      services: { v1: services, v1alpha: services },
      refused: {
        status: "INVALID_ARGUMENT",
        detail: { code: "INVALID_ARGUMENT", message: 'component: "sshd" is not a component' },
      },
    });
    t.ok(
      answers.lines.some((line) => /^khw-agent \S+ is serving on port 7443$/.test(line)),
      "the log lines include the first line of the agent's journal",
    );
  });

  await t.test("journalctl exits when no client follows the journal anymore", async (t) => {
    const reading = async (): Promise<boolean> => (await node.run(["pgrep", "-x", "journalctl"])).code === 0;
    for (let look = 0; look < 50 && (await reading()); look++) await setTimeout(100);
    t.notOk(await reading());
  });

  await t.test("Prometheus's own parser accepts the agent's metrics", async (t) => {
    const parse = `
import json, sys
from prometheus_client.parser import text_string_to_metric_families
families = text_string_to_metric_families(sys.stdin.read())
print(json.dumps({f.name: [f.type, [[s.labels, s.value] for s in f.samples]] for f in families}))
`;
    const text = await node.must(["curl", "--silent", "--fail", "http://127.0.0.1:7444/metrics"]);
    const said = await must(["/usr/bin/python3", "-c", parse], { input: text });
    t.match(JSON.parse(said), {
      khw_agent_build_info: ["gauge", [[{ version: /^\d+\.\d+\.\d+/ }, 1]]],
      khw_agent_resident_memory_bytes: ["gauge", [[{}, Number]]],
      khw_component_up: ["gauge", [[{ component: "kube-apiserver" }, 0]]],
      khw_certificate_expiry_timestamp_seconds: ["gauge", [[{ path: "/etc/etcd/ca.pem", subject: /CN=/ }, Number]]],
      khw_operations: [
        "counter",
        [
          [{ outcome: "succeeded" }, 0],
          [{ outcome: "failed" }, 0],
          [{ outcome: "interrupted" }, 0],
        ],
      ],
      khw_drained: ["gauge", [[{}, 0]]],
    });
    const address = await node.run(["curl", "--silent", "--max-time", "2", "http://10.240.0.10:7444/metrics"]);
    t.not(address.code, 0, "the metrics are not served at the node's address");
  });
});
