import t from "tap";
import { controllerSteps } from "../../../../agent/steps.ts";
import { tryPrograms } from "../../../../agent/trial/trial.ts";
import type { DesiredState } from "../../../../proto/desired.ts";
import {
  applyAll,
  etcdRelease,
  labDesired,
  labDesiredWithEtcd,
  labMachine,
  never,
  release,
} from "../../../fixtures/machine.ts";
import type { FakeOs } from "../../../fakes/os.ts";

/** Creates a fake machine that runs v1.21.0 and has downloaded v1.22.0. */
async function upgrading(changes: Parameters<typeof labDesired>[0] = {}) {
  const os = labMachine();
  await applyAll(controllerSteps(labDesired(), { drained: false }), os);
  release(os, "v1.22.0");
  const desired = labDesired({ kubernetesVersion: "v1.22.0", ...changes });
  await download(desired, os);
  return { os, desired };
}

async function download(desired: DesiredState, os: FakeOs): Promise<void> {
  const all = controllerSteps(desired, { drained: false });
  await applyAll(
    all.filter(({ id }) => /^(release|folder)/.test(id)).map((step) => ({ ...step, needs: [] })),
    os,
  );
}

/** Makes every program reject these arguments, one at a time, as pflag does. Returns a list of the program runs. */
function refusing(os: FakeOs, refused: Readonly<Record<string, string>>) {
  const runs: string[] = [];
  os.trial = (argv) => {
    const line = argv.join(" ");
    runs.push(line);
    const found = Object.entries(refused).find(([text]) => line.includes(text));
    return found === undefined ? { code: 0, lines: ["v1.22.0"] } : { code: 1, lines: [found[1], "Usage:"] };
  };
  return runs;
}

t.test("a trial runs each new program with its flags, and the scheduler with its configuration", async (t) => {
  const { os, desired } = await upgrading();
  const texts: string[] = [];
  const runs: string[] = [];
  os.trial = (argv, files) => {
    runs.push(argv.join(" "));
    texts.push(...Object.values(files));
    return { code: 0, lines: [] };
  };
  t.strictSame(await tryPrograms(desired, os, never), { findings: [], warnings: [] });
  const folder = "/usr/local/lib/khw/kubernetes/v1.22.0";
  t.match(runs, [
    new RegExp(`^${folder}/kube-apiserver --advertise-address=.* --version$`),
    new RegExp(`^${folder}/kube-controller-manager .* --version$`),
    `${folder}/kube-scheduler --config=/etc/kubernetes/config/kube-scheduler.yaml --v=2 --version`,
    `${folder}/kube-scheduler --config=/tmp/kube-scheduler.yaml --write-config-to=/tmp/written.yaml --secure-port=0`,
  ]);
  t.ok(texts.some((text) => text.includes('kubeconfig: "/tmp/kubeconfig"')));
  t.notOk(
    texts.some((text) => text.includes("/var/lib/kubernetes")),
    "the generated files do not refer to any file on the machine",
  );
});

t.test(
  "a trial skips programs that already run as desired, and programs that have not been downloaded yet",
  async (t) => {
    const os = labMachine();
    await applyAll(controllerSteps(labDesired(), { drained: false }), os);
    const runs = refusing(os, {});
    await tryPrograms(labDesired(), os, never);
    await tryPrograms(labDesired({ kubernetesVersion: "v1.22.0" }), os, never);
    t.strictSame(runs, []);
  },
);

t.test("a trial also runs when only a flag of the running release changes", async (t) => {
  const os = labMachine();
  await applyAll(controllerSteps(labDesired(), { drained: false }), os);
  const runs = refusing(os, {});
  await tryPrograms(labDesired({ flags: { "kube-scheduler": { set: { v: "4" }, remove: [] } } }), os, never);
  t.match(runs, [/kube-scheduler .*--v=4 --version$/, /--write-config-to/]);
});

t.test("every unknown flag or feature gate causes an error that names the setting in khw.yaml to change", async (t) => {
  const set = { "bad-flag": "1", "feature-gates": "Old=true,Good=true" };
  const { os, desired } = await upgrading({ flags: { "kube-apiserver": { set, remove: [] } } });
  const gates = 'Error: invalid argument "" for "--feature-gates" flag: unrecognized feature gate: Old';
  refusing(os, {
    "--bad-flag": "Error: unknown flag: --bad-flag",
    "Old=true": gates,
    "--event-ttl": "Error: unknown flag: --event-ttl",
  });
  const { findings } = await tryPrograms(desired, os, never);
  t.match(
    findings.map(({ node, step, message, hint }) => ({ node, step, message, hint })),
    [
      {
        node: "controller-0",
        step: "kube-apiserver",
        message: "kube-apiserver v1.22.0 does not accept --bad-flag: unknown flag",
        hint: "change or remove kubernetes.flags.kube-apiserver.bad-flag in khw.yaml; if a profile sets the flag, set kubernetes.flags.kube-apiserver.bad-flag to null",
      },
      {
        message: "kube-apiserver v1.22.0 does not accept the feature gate Old of --feature-gates: unknown feature gate",
      },
      {
        message: "kube-apiserver v1.22.0 does not accept --event-ttl: unknown flag",
        hint: /^set kubernetes\.flags\.kube-apiserver\.event-ttl to null in khw\.yaml/,
      },
    ],
  );
});

t.test("a trial reports an error if a program cannot run or rejects its configuration", async (t) => {
  const { os, desired } = await upgrading();
  os.trial = (argv) => {
    if (argv[0]?.endsWith("kube-apiserver")) return { code: 126, lines: ["exec format error"] };
    if (argv.some((word) => word.startsWith("--write-config-to"))) return { code: 1, lines: ["no kind is registered"] };
    return { code: 0, lines: [] };
  };
  const { findings } = await tryPrograms(desired, os, never);
  t.match(
    findings.map(({ message }) => message),
    [
      /^kube-apiserver v1\.22\.0 exits with 126 when run with --version: "exec format error"$/,
      /^kube-scheduler v1\.22\.0 does not accept its configuration: "no kind is registered"$/,
    ],
  );
});

t.test("deprecated flags cause warnings", async (t) => {
  const { os, desired } = await upgrading();
  const said = "Flag --insecure-port has been deprecated, This flag has no effect now";
  os.trial = () => ({ code: 0, lines: [said] });
  const { findings, warnings } = await tryPrograms(desired, os, never);
  t.strictSame(findings, []);
  t.match(warnings[0], { node: "controller-0", step: "kube-apiserver", message: `v1.22.0: ${said}` });
});

t.test("a trial runs a new etcd with its flags", async (t) => {
  const os = labMachine();
  etcdRelease(os, "v3.4.99");
  const desired = labDesiredWithEtcd();
  await download(desired, os);
  refusing(os, { "etcd/v3.4.99/etcd": "flag provided but not defined: -cert-file" });
  const { findings } = await tryPrograms(desired, os, never);
  t.match(findings.filter(({ step }) => step === "etcd").map(({ message, hint }) => ({ message, hint }))[0], {
    message: "etcd v3.4.99 does not accept --cert-file: unknown flag",
    hint: "choose another etcd.version",
  });
});
