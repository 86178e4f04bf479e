import t from "tap";
import { programDigests } from "../../../../agent/preflight/program-digests.ts";
import { controllerSteps } from "../../../../agent/steps.ts";
import { programs } from "../../../../proto/components.ts";
import {
  applyAll,
  digest,
  etcdRelease,
  labDesired,
  labDesiredWithEtcd,
  labMachine,
  never,
} from "../../../fixtures/machine.ts";

const version = "v1.21.0";
const url = (program: string): string => `https://dl.k8s.io/release/${version}/bin/linux/amd64/${program}`;

t.test("a bare machine reports the mirrors' digests and changes nothing", async (t) => {
  const os = labMachine();
  etcdRelease(os, "v3.4.99");
  const { digests, findings } = await programDigests(labDesiredWithEtcd(), os, never);
  t.strictSame(findings, []);
  t.strictSame(digests, [
    ...programs.map((program) => ({
      program,
      version,
      architecture: "amd64",
      sha256: digest(`${program} of ${version}`),
      source: url(program),
    })),
    {
      program: "etcd",
      version: "v3.4.99",
      architecture: "amd64",
      sha256: digest("archive of v3.4.99"),
      source: "https://github.com/etcd-io/etcd/releases/download/v3.4.99/etcd-v3.4.99-linux-amd64.tar.gz",
    },
  ]);
  t.strictSame(os.changes(), []);
});

t.test(
  "a machine on which the release is installed reports the recorded digests without asking a mirror",
  async (t) => {
    const os = labMachine();
    await applyAll(controllerSteps(labDesired(), { drained: false }), os);
    os.mirror.clear();
    const { digests, findings } = await programDigests(labDesired(), os, never);
    t.strictSame(findings, []);
    t.strictSame(
      digests.map(({ program, sha256, source }) => [program, sha256, source]),
      programs.map((program) => [program, digest(`${program} of ${version}`), ""]),
    );
  },
);

t.test("no digest is looked up for a program whose digest is in the desired state", async (t) => {
  const os = labMachine();
  os.mirror.clear();
  const sha256 = Object.fromEntries(programs.map((program) => [program, digest(program)]));
  const binaries = { mirrors: ["https://dl.k8s.io/release"], proxy: "", caPem: "", sha256 };
  t.strictSame(await programDigests(labDesired({ binaries }), os, never), { digests: [], findings: [] });
});

t.test("digests built into khw are reported without asking a mirror", async (t) => {
  const os = labMachine();
  const etcd = { version: "v3.4.15", mirrors: ["https://m"], sha256: {}, strict: false, dedicatedDisk: false };
  const { digests } = await programDigests(labDesired({ etcd }), os, never);
  t.match(digests.at(-1), { program: "etcd", sha256: /^3bd00836/, source: "" });
});

t.test("if the mirrors publish no digests of a release, the node reports one finding for that release", async (t) => {
  const os = labMachine();
  os.mirror.clear();
  const { findings } = await programDigests(labDesiredWithEtcd(), os, never);
  t.match(
    findings.map(({ code, node, message }) => `${code} ${node}: ${message}`),
    [/^DOWNLOAD_FAILED controller-0: v1\.21\.0\/bin\/linux\/amd64\/kube-apiserver\.sha256/, /SHA256SUMS/],
  );
});
