import t from "tap";
import { healthCheckOf, probeHealth } from "../../../../agent/health/health.ts";
import { createFakeOs } from "../../../fakes/os.ts";
import { never } from "../../../fixtures/machine.ts";

const folder = "/var/lib/kubernetes";
const shared = ["ca.pem", "kubernetes.pem", "kubernetes-key.pem"];
const own = ["etcd-ca.pem", "etcd-client.pem", "etcd-client-key.pem"];

async function explained(names: readonly string[]): Promise<string | null> {
  const os = createFakeOs();
  await os.files.mkdir(folder, 0o755);
  for (const name of names) await os.files.write(`${folder}/${name}`, name, 0o600);
  os.answers.set("https://127.0.0.1:2379/health", { status: 0, body: "bad certificate", failure: "rejected" });
  return probeHealth(healthCheckOf("etcd"), os, never);
}

t.test("if etcd rejects a client certificate, the error names the certificate's file", async (t) => {
  t.match(await explained(shared), /does not accept \/var\/lib\/kubernetes\/kubernetes\.pem$/);
  t.match(await explained([...shared, ...own]), /does not accept \/var\/lib\/kubernetes\/etcd-client\.pem$/);
  t.match(
    await explained([...shared, ...own.slice(1)]),
    /kubernetes\.pem$/,
    "the files of etcd's own CA are used only if all of them exist",
  );
  t.match(await explained(own.slice(1)), /cannot be verified: ca\.pem is missing/);
});
