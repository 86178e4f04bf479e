import { readFile } from "node:fs/promises";
import { basename, join } from "node:path";

import t from "tap";

import { createAuthority, issue } from "../../client/pki/management/issue.ts";
import { must, run } from "../testbed/command.ts";
import { startTestbed } from "../testbed/index.ts";
import type { TestbedNode } from "../testbed/index.ts";

const checkout = join(import.meta.dirname, "../..");
const { version }: { version: string } = JSON.parse(await readFile(join(checkout, "package.json"), "utf8"));
const architecture = (await must(["dpkg", "--print-architecture"])).trim();
const deb = join(checkout, `build/deb/khw-agent_${version}_${architecture}.deb`);
const oldVersion = "0.0.1~";

const folder = t.testdir();
const oldDeb = join(folder, `khw-agent_${oldVersion}_${architecture}.deb`);

/**
 * The command that runs the agent program on a machine. It removes NODE_OPTIONS, which the test runner sets for every
 * Node process.
 */
const agent = ["env", "--unset=NODE_OPTIONS", "khw-agent"];

/** Operations on the agent's package must not change the control plane's files and processes. */
const clusterFiles = ["/etc/kubernetes/config/kube-scheduler.yaml", "/var/lib/kubernetes/ca.pem"];
const clusterUnit = "kube-apiserver.service";

/** Paths that the package must not write, but that apt, dpkg, the journal or the machine itself may write. */
const bookkeeping =
  /^\/(var\/(cache|log|lib\/apt|lib\/systemd\/(random-seed|timers|timesync))|var\/lib\/dpkg\/[^/]*$|tmp|root|run|etc\/ld\.so\.cache)/;

t.before(async () => {
  // The package of an earlier version contains a file that the next version no longer has. The package is not
  // compressed, because compression is slow.
  const tree = join(folder, "old");
  await must(["dpkg-deb", "--raw-extract", deb, tree]);
  await must(["sed", "-i", `s/^Version: .*/Version: ${oldVersion}/`, join(tree, "DEBIAN/control")]);
  await must(["touch", join(tree, "usr/lib/khw-agent/chunk-of-old.mjs")]);
  await must(["dpkg-deb", "-Znone", "--root-owner-group", "--build", tree, oldDeb]);
});

for (const suite of ["bookworm", "trixie"] as const) {
  t.test(`on ${suite}`, async (t) => {
    const testbed = await startTestbed({ nodes: 1, withEtcd: false, suite });
    t.teardown(() => testbed.stop());
    const [node] = testbed.nodes;
    if (node === undefined) throw new Error("a testbed without nodes");
    const before = await files(node);
    const healthy = await failedUnits(node);

    await t.test("a newly installed agent waits for the machine's identity without failing", async (t) => {
      await install(node, oldDeb);
      t.match(await node.must([...agent, "--version"]), /^khw-agent \d+\.\d+\.\d+\n$/);
      t.equal(await state(node, "khw-agent.service"), "active");
      t.match(await property(node, "khw-agent.service", "StatusText"), /^waiting to be enrolled/);
      t.equal(await state(node, "khw-agent.path"), "active");
      t.equal(await failedUnits(node), healthy);
      t.equal(await node.must(["stat", "-c", "%a %U", "/etc/khw-agent/pki"]), "700 root\n");
      const check = await node.run([...agent, "--check-config"]);
      t.match(check.stderr, "/etc/khw-agent/pki/ca.pem");
      t.not(check.code, 0);
    });

    await t.test("the agent starts serving when its identity is installed", async (t) => {
      await giveIdentity(node);
      await serves(node);
      t.match(await node.must([...agent, "--check-config"]), ": ok\n");
      t.match(await node.must(["ss", "--listening", "--tcp", "--numeric"]), /:7443\b/);
    });

    await t.test("systemd rates the agent's sandbox at an exposure level of at most 2.8", async (t) => {
      const report = await node.must(["systemd-analyze", "security", "--no-pager", "khw-agent.service"]);
      const exposure = Number(/Overall exposure level for khw-agent\.service: ([\d.]+)/.exec(report)?.[1]);
      t.ok(exposure <= 2.8, `the exposure level is at most 2.8; systemd reports ${exposure} of 10`);
    });

    await t.test("a stopped agent stays stopped until the identity changes", async (t) => {
      await node.must(["systemctl", "stop", "khw-agent.service"]);
      t.equal(await state(node, "khw-agent.service"), "inactive");
      await giveIdentity(node);
      await becomes(node, "khw-agent.service", "active");
    });

    await t.test("an upgrade restarts only the agent and keeps the configuration", async (t) => {
      await node.must(["sh", "-c", "echo '# kept' >>/etc/khw-agent/config.yaml"]);
      await node.must(["sh", "-c", clusterFiles.map((file) => `install -D /etc/hostname ${file}`).join(" && ")]);
      await node.must(["systemd-run", `--unit=${clusterUnit}`, "sleep", "infinity"]);
      const [old, cluster] = [await mainPid(node, "khw-agent.service"), await mainPid(node, clusterUnit)];

      await install(node, deb);
      t.equal(await node.must([...agent, "--version"]), `khw-agent ${version}\n`);
      await becomes(node, "khw-agent.service", "active");
      t.not(await mainPid(node, "khw-agent.service"), old);
      t.equal(await mainPid(node, clusterUnit), cluster);
      t.match(await node.must(["cat", "/etc/khw-agent/config.yaml"]), /# kept\n$/);
      t.notMatch(await files(node), ["/usr/lib/khw-agent/chunk-of-old.mjs"]);
    });

    await t.test("removing the package removes the agent and keeps its identity", async (t) => {
      await node.must(["apt-get", "remove", "--yes", "khw-agent"]);
      t.not(await state(node, "khw-agent.service"), "active");
      t.equal((await node.run(["test", "-e", "/usr/lib/khw-agent"])).code, 1);
      t.equal((await node.run(["test", "-e", "/etc/khw-agent/pki/agent-key.pem"])).code, 0);
    });

    await t.test("purging the package removes all of the package's files and keeps the control plane", async (t) => {
      await node.must(["apt-get", "purge", "--yes", "khw-agent"]);
      t.equal(await state(node, clusterUnit), "active");
      for (const file of clusterFiles)
        t.equal(await node.must(["cat", file]), await node.must(["cat", "/etc/hostname"]));

      await node.must(["systemctl", "stop", clusterUnit]);
      await node.must(["rm", "-r", "/etc/kubernetes", "/var/lib/kubernetes"]);
      const known = new Set(before);
      t.same(
        (await files(node)).filter((file) => !known.has(file)),
        [],
        "no new file is left on the node",
      );
      t.equal(await failedUnits(node), healthy);
    });
  });
}

t.test("lintian reports nothing, even in pedantic mode", async (t) => {
  const { code, stdout } = await run(["lintian", "--display-info", "--pedantic", "--allow-root", deb]);
  t.equal(stdout, "");
  t.equal(code, 0);
});

t.test("the package build is reproducible regardless of folder, time, umask, locale and time zone", async (t) => {
  // The checkout is mounted as an overlay at another path. Changes stay in memory and disappear with the mount
  // namespace.
  const rebuild = `
    mount -t tmpfs tmpfs "$0" && mkdir "$0/upper" "$0/work" "$0/elsewhere"
    mount -t overlay -o "lowerdir=$1,upperdir=$0/upper,workdir=$0/work" overlay "$0/elsewhere"
    cd "$0/elsewhere" && rm -rf build proto/gen && umask 077
    export PATH=$PWD/node_modules/.bin:$PATH LC_ALL=C TZ=Asia/Tokyo
    unset NODE_OPTIONS
    node packaging/generate.ts && node packaging/build.ts && bash packaging/deb.sh >&2
    sha256sum <"build/deb/$2"`;
  const again = await must(["unshare", "--mount", "bash", "-ec", rebuild, folder, checkout, basename(deb)], {
    timeoutMs: 300_000,
  });
  t.equal(
    again,
    await must(["sh", "-c", 'sha256sum <"$0"', deb]),
    "the rebuilt package is byte-for-byte identical (if not, build/deb may be out of date: npm run deb)",
  );
});

async function install(node: TestbedNode, file: string): Promise<void> {
  await node.copyIn(file, "/root/khw-agent.deb");
  await node.must(["apt-get", "install", "--yes", "/root/khw-agent.deb"], {
    env: { DEBIAN_FRONTEND: "noninteractive" },
  });
}

/**
 * Installs the identity as an administrator would. Each file is replaced atomically, and the certificate comes last.
 */
async function giveIdentity(node: TestbedNode): Promise<void> {
  const authority = await createAuthority(new Date());
  const { certificate, key } = await issue(authority, { name: node.name, role: "agent", days: 1 }, new Date());
  const identity = { ca: authority.certificate, "agent-key": key, agent: certificate };
  for (const [name, input] of Object.entries(identity)) {
    const file = `/etc/khw-agent/pki/${name}.pem`;
    await node.must(["sh", "-ec", 'umask 077; cat >"$0.new"; mv "$0.new" "$0"', file], { input });
  }
}

/** Returns every path on the machine's disk, except the paths that the system itself writes. */
async function files(node: TestbedNode): Promise<readonly string[]> {
  const found = await node.must(["find", "/", "-xdev", "-not", "-path", "/proc/*"]);
  return found.split("\n").filter((file) => !bookkeeping.test(file));
}

async function property(node: TestbedNode, unit: string, name: string): Promise<string> {
  return (await node.must(["systemctl", "show", "--value", `--property=${name}`, unit])).trim();
}

async function state(node: TestbedNode, unit: string): Promise<string> {
  return property(node, unit, "ActiveState");
}

async function mainPid(node: TestbedNode, unit: string): Promise<number> {
  return Number(await property(node, unit, "MainPID"));
}

async function failedUnits(node: TestbedNode): Promise<string> {
  return node.must(["systemctl", "list-units", "--failed", "--plain", "--no-legend"]);
}

/**
 * Waits until the agent reports that it is serving. Until then, the agent reports that it is waiting to be enrolled.
 */
async function serves(node: TestbedNode): Promise<void> {
  const script = 'until systemctl show --property=StatusText "$0" | grep -q "=serving"; do sleep 0.1; done';
  await node.must(["timeout", "30", "sh", "-c", script, "khw-agent.service"]);
}

/**
 * Waits until the unit has the wanted state. After half a minute, throws an error that contains the last lines of the
 * unit's journal.
 */
async function becomes(node: TestbedNode, unit: string, wanted: string): Promise<void> {
  const reached = await node.run(
    ["timeout", "30", "sh", "-c", 'until [ "$(systemctl is-active "$0")" = "$1" ]; do sleep 0.1; done', unit, wanted],
    { timeoutMs: 60_000 },
  );
  if (reached.code === 0) return;
  const journal = await node.run(["journalctl", "--no-pager", "--lines=20", "--output=cat", `--unit=${unit}`]);
  throw new Error(`${unit} is ${await state(node, unit)}, not ${wanted}:\n${journal.stdout}`);
}
