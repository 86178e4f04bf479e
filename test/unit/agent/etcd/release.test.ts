import t from "tap";
import { etcdBinary, etcdReleased } from "../../../../agent/steps/etcd-release.ts";
import { publishedEtcdDigest } from "../../../../proto/etcd-versions.ts";
import type { Step } from "../../../../proto/step.ts";
import type { Os } from "../../../../agent/os/os.ts";
import { digest, etcdRelease, labDesiredWithEtcd, labMachine, never } from "../../../fixtures/machine.ts";

const quiet = { signal: never, progress: () => {} };
const desired = labDesiredWithEtcd();
const folder = "/usr/local/lib/khw/etcd/v3.4.99";
const [released, binary] = [etcdReleased(desired), etcdBinary("etcd", desired)];

function machine() {
  const os = labMachine();
  etcdRelease(os, "v3.4.99");
  return os;
}

async function repair(step: Step<Os>, os: Os): Promise<string | undefined> {
  const drift = await step.check(os, never);
  await step.apply(os, quiet);
  t.equal(await step.check(os, never), null, `${step.id} finds no difference after it has been applied`);
  return drift?.summary;
}

t.test("the archive is downloaded, verified and unpacked, and its programs are installed unchanged", async (t) => {
  const os = machine();
  t.equal(await repair(released, os), "v3.4.99 is not downloaded");
  t.equal(await repair(binary, os), "is missing");
  t.strictSame((await os.files.list(folder)).toSorted(), ["SHA256SUMS", "etcd", "etcdctl"]);
  t.equal(os.files.text("/usr/local/bin/etcd"), "etcd-v3.4.99-linux-amd64/etcd of archive of v3.4.99");
  os.mirror.clear();
  t.strictSame(
    [await released.check(os, never), await binary.check(os, never)],
    [null, null],
    "both steps find no difference even if the mirror has no files",
  );
});

t.test("an installed program whose content was damaged is repaired", async (t) => {
  const os = machine();
  await repair(released, os);
  await repair(binary, os);
  os.files.put(`${folder}/etcd`, "spoilt", 0o755);
  await os.files.link(`${folder}/etcd`, "/usr/local/bin/etcd");
  t.equal(await repair(released, os), "etcd: its content differs");
  t.equal(await repair(binary, os), "its content differs");
  await os.files.remove("/usr/local/bin/etcd");
  t.equal(await repair(binary, os), "is missing");
});

t.test("an archive that does not match the published digest is never installed", async (t) => {
  const os = machine();
  os.mirror.set("v3.4.99/etcd-v3.4.99-linux-amd64.tar.gz", "something else");
  await t.rejects(released.apply(os, quiet), { code: "DIGEST_MISMATCH" });
  for (const text of ["<html>404</html>", `${digest("x")}  etcd-v3.4.99-linux-arm64.tar.gz\n`]) {
    os.mirror.set("v3.4.99/SHA256SUMS", text);
    await t.rejects(released.apply(os, quiet), { code: "DOWNLOAD_FAILED", hint: /etcd\.mirrors/ });
  }
  t.equal(os.files.text(`${folder}/etcd`), undefined);
});

t.test(
  "a digest in khw.yaml overrides the published digest, and khw has a built-in digest for the lab's release",
  async (t) => {
    const os = machine();
    os.mirror.delete("v3.4.99/SHA256SUMS");
    const etcd = {
      ...desired.etcd,
      snapshots: undefined,
      mirrors: [...desired.etcd.mirrors],
      sha256: { amd64: digest("archive of v3.4.99") },
    };
    await repair(etcdReleased(labDesiredWithEtcd({ etcd })), os);
    const other = { ...etcd, sha256: { amd64: digest("another") } };
    t.match(await etcdReleased(labDesiredWithEtcd({ etcd: other })).check(os, never), {
      summary: /do not come from the published archive of v3\.4\.99/,
    });
    etcdRelease(os, "v3.4.15");
    const lab = labDesiredWithEtcd({ etcd: { ...etcd, version: "v3.4.15", sha256: {} } });
    await t.rejects(
      etcdReleased(lab).apply(os, quiet),
      { code: "DIGEST_MISMATCH" },
      "the archive must match khw's built-in digest, even if the mirror's SHA256SUMS has another digest",
    );
    t.match(publishedEtcdDigest("v3.4.15", "amd64"), /^3bd00836/);
    t.equal(
      publishedEtcdDigest("v3.4.15", "arm64"),
      undefined,
      "khw has no built-in digest of the lab's release for arm64",
    );
  },
);
