import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import t from "tap";
import { publishCa } from "../../client/enrolment/publish.ts";
import { instanceReference } from "../../client/gce/references.ts";
import { restCompute } from "../../client/gce/rest.ts";
import { createAuthority } from "../../client/pki/management/issue.ts";
import { managementCaAttribute } from "../../proto/enrolment.ts";
import { never } from "../fixtures/machine.ts";
import { startCompute } from "../testbed/compute/start.ts";

const run = promisify(execFile);
const network = `127.${100 + (process.pid % 100)}.${(process.pid >> 7) % 250}`;
const folder = await mkdtemp(join(tmpdir(), "khw-instance-metadata-"));
t.teardown(() => rm(folder, { recursive: true }));
const compute = await startCompute({
  listen: `${network}.1:8090`,
  socket: join(folder, "control.sock"),
  address: `${network}.50`,
  instances: [`controller-0=${network}.10`, `controller-1=${network}.11`],
});
t.teardown(() => compute[Symbol.asyncDispose]());
const client = restCompute({ endpoint: compute.url, credentials: async () => ({}) });
t.teardown(() => client[Symbol.asyncDispose]());
const reference = (name: string) => instanceReference("khw-testbed", { name, zone: "us-west1-c" });
const metadataOf = async (name: string) => (await client.get(reference(name), never))?.metadata;
const { certificate: ca } = await createAuthority(new Date());
const startup = { key: "startup-script", value: "#!/bin/sh\n" };

t.test("the CA's certificate is added to the instance's metadata, and nothing else changes", async (t) => {
  const before = await metadataOf("controller-0");
  await client.setMetadata(
    reference("controller-0"),
    { fingerprint: before?.fingerprint ?? "", items: [startup] },
    never,
  );
  const mutations = async (): Promise<number> => (await compute.control.log()).filter(isMutation).length;
  const count = await mutations();
  t.match(await publishCa(client, reference("controller-0"), { ca, signal: never }), { changed: true });
  const { items = [] } = (await metadataOf("controller-0")) ?? {};
  t.same(items, [startup, { key: managementCaAttribute, value: ca }]);
  t.match(await publishCa(client, reference("controller-0"), { ca, signal: never }), { changed: false });
  t.equal(await mutations(), count + 1, "publishing the CA twice sends only one request");
});

t.test("a metadata change based on an outdated fingerprint is refused and changes nothing", async (t) => {
  const before = await metadataOf("controller-1");
  const stale = { fingerprint: before?.fingerprint ?? "", items: [startup] };
  await client.setMetadata(reference("controller-1"), stale, never);
  const again = client.setMetadata(reference("controller-1"), { ...stale, items: [] }, never);
  await t.rejects(again, { code: "COMPUTE_FAILED", message: /412 conditionNotMet/ });
  t.same((await metadataOf("controller-1"))?.items, [startup]);
});

function isMutation({ method, path }: { readonly method: string; readonly path: string }): boolean {
  return method === "POST" && path.endsWith("/setMetadata");
}

const gcloud = await run("gcloud", ["--version"]).then(
  () => false,
  () => "gcloud is not on this machine",
);

t.test("khw changes nothing after the real gcloud has written the metadata", { skip: gcloud }, async (t) => {
  const file = join(folder, "ca.pem");
  await writeFile(file, ca);
  const { fingerprint = "" } = (await metadataOf("controller-1")) ?? {};
  await client.setMetadata(reference("controller-1"), { fingerprint, items: [startup] }, never);
  const env = {
    PATH: process.env["PATH"],
    HOME: folder,
    CLOUDSDK_CONFIG: join(folder, "gcloud"),
    CLOUDSDK_AUTH_DISABLE_CREDENTIALS: "true",
    CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE: compute.url,
    CLOUDSDK_CORE_PROJECT: "khw-testbed",
    CLOUDSDK_CORE_DISABLE_PROMPTS: "1",
  };
  const set = ["compute", "instances", "add-metadata", "controller-1", "--zone=us-west1-c"];
  await run("gcloud", [...set, `--metadata-from-file=${managementCaAttribute}=${file}`], { env });
  const published = await publishCa(client, reference("controller-1"), { ca, signal: never });
  t.equal(published.changed, false);
  t.match(
    (await metadataOf("controller-1"))?.items.find(({ key }) => key === "startup-script"),
    startup,
  );
});
