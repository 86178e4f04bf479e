/**
 * Upgrades the agents on three real machines. Covers refused, completed and failed upgrades. systemd rolls back a
 * failed upgrade even if the client has ended or the power was lost.
 */
import { execFile } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import t, { type Test } from "tap";
import packageJson from "../../package.json" with { type: "json" };
import { failsWith, fingerprint, openScene, type Scene, scenario } from "../fixtures/faults.ts";
import type { TestbedNode } from "../testbed/index.ts";
import { agentPackage } from "../testbed/workstation.ts";

const { version: own } = packageJson;
const count = 3;
const architecture = process.arch === "x64" ? "amd64" : "arm64";
const all = ["--nodes", Array.from({ length: count }, (_, index) => `controller-${index}`).join(",")];
/**
 * The time limit for a rollback. The rollback starts a minute after the installation. Each of the two installations
 * takes seconds, but can take minutes on a busy host.
 */
const backMillis = 400_000;

const run = promisify(execFile);

/** Unpacks the real package into the folder in which the other versions are built. */
async function unpack(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  await run("dpkg-deb", ["--raw-extract", agentPackage, join(folder, "tree")]);
}

interface Build {
  readonly version: string;
  /** Whether the agent's runtime exits immediately. */
  readonly broken?: boolean;
}

/** Repacks the real package with a different version number. Returns the path of the new package. */
async function pack(folder: string, { version, broken = false }: Build): Promise<string> {
  const deb = join(folder, `khw-agent_${version}.deb`);
  const tree = join(folder, `tree-${version}`);
  // The version must also be replaced in the bundles, because the build writes the version into them, sometimes on a
  // line of its own. The package trees share the large runtime through hard links.
  const script = `cp -al tree ${tree}; cd ${tree}
    edit() { sed "$1" "$2" >new; chmod --reference="$2" new; mv new "$2"; }
    edit 's/^Version: .*/Version: ${version}/' DEBIAN/control
    for bundle in usr/lib/khw-agent/*.mjs; do edit 's/\\(^\\|"\\)${own.replaceAll(".", "[.]")}"/\\1${version}"/g' "$bundle"; done
    ${broken ? `printf '#!/bin/sh\\necho this agent is broken >&2; exit 7\\n' >new; chmod 0755 new; mv new usr/lib/khw-agent/node` : ""}
    rm DEBIAN/md5sums; find usr lib -type f 2>/dev/null | sort | xargs md5sum >sums; mv sums DEBIAN/md5sums
    dpkg-deb -Zzstd -z1 --root-owner-group --build . ${deb}; rm -r ${tree}`;
  await run("sh", ["-ec", script], { cwd: folder });
  return deb;
}

/**
 * Builds a package that has these control fields but no files, and returns its path. The package must never be
 * installed.
 */
async function packEmpty(folder: string, fields: Readonly<Record<string, string>>): Promise<string> {
  const deb = join(folder, "empty.deb");
  const known = { Package: "khw-agent", Version: "0.2.0", Maintainer: "khw <khw@example.com>", Description: "empty" };
  const lines = Object.entries({ ...known, Architecture: architecture, ...fields }).map((field) => field.join(": "));
  const script = `rm -rf empty; mkdir -p empty/DEBIAN; printf '%s\\n' "$@" >empty/DEBIAN/control; dpkg-deb --build empty ${deb}`;
  await run("sh", ["-ec", script, "sh", ...lines], { cwd: folder });
  return deb;
}

const pids = async (nodes: readonly TestbedNode[], unit: string): Promise<string> =>
  (await Promise.all(nodes.map((node) => node.must(["systemctl", "show", "-P", "MainPID", unit])))).join("");

/**
 * Returns everything that belongs to the agent's package and its upgrades. The package folder is left out, because even
 * a check creates this folder and leaves it empty.
 */
async function agentFiles(node: TestbedNode): Promise<string> {
  const units = await node.must([
    "sh",
    "-c",
    "ls /etc/systemd/system/khw-agent* /etc/systemd/system/timers.target.wants 2>/dev/null; true",
  ]);
  const version = await node.must(["dpkg-query", "--show", "--showformat=${db:Status-Status} ${Version}", "khw-agent"]);
  const files = (await fingerprint(node)).split("\n").filter((line) => !line.includes("/khw-agent/packages d "));
  return `${files.join("\n")}${units}${version}`;
}

const versions = async (nodes: readonly TestbedNode[]): Promise<string[]> =>
  Promise.all(nodes.map((node) => node.must(["dpkg-query", "--show", "--showformat=${Version}", "khw-agent"])));

/** Waits until a condition is true on the machine. Returns the waiting time in milliseconds. */
async function until(node: TestbedNode, condition: string, limitMillis = backMillis): Promise<number> {
  const start = performance.now();
  const script = `until ${condition}; do sleep 0.1; done`;
  await node.must(["timeout", String(limitMillis / 1000), "sh", "-c", script], { timeoutMs: limitMillis + 10_000 });
  return performance.now() - start;
}

/** Waits until this version of the package is installed and the agent is running. */
const has = (node: TestbedNode, version: string): Promise<number> =>
  until(
    node,
    `[ "$(dpkg-query --show --showformat='\${db:Status-Status} \${Version}' khw-agent)" = "installed ${version}" ] &&
      systemctl is-active --quiet khw-agent.service`,
  );

/** Waits until the agent has started an upgrade to this version. */
const begins = (node: TestbedNode, version: string): Promise<number> =>
  until(node, `grep -aq "${version}" /var/lib/khw-agent/agent-upgrade`);

const seconds = (millis: number): string => `${(millis / 1000).toFixed(1)} s`;

interface NodeStatus {
  readonly agentVersion: string;
  readonly agentUpgrade: { readonly state: string; readonly report: string } | null;
}

async function status({ workstation }: Scene): Promise<NodeStatus[]> {
  const { stdout } = await workstation.khw(["status", "-o", "json", ...all]);
  const document: { nodes: NodeStatus[] } = JSON.parse(stdout);
  return document.nodes;
}

t.test("agent upgrade on three machines upgrades all agents and rolls back failed upgrades", async (t) => {
  await using scene = await openScene(count);
  const { testbed, workstation } = scene;
  const { nodes } = testbed;
  const [first, ...others] = nodes;
  const last = nodes.at(-1);
  if (first === undefined || last === undefined) throw new TypeError("machines are missing");
  const every = <T>(value: T): T[] => nodes.map(() => value);
  const folder = join(testbed.folder, "packages");
  await unpack(folder);
  const next = await pack(folder, { version: "0.2.0" });
  const upgrade = (deb: string, ...args: readonly string[]) =>
    workstation.khw(["agent", "upgrade", ...all, "--deb", deb, ...args]);
  const etcd = await pids(nodes, "etcd.service");
  const agents = await pids(nodes, "khw-agent.service");

  await scenario(t, "a refused agent upgrade changes nothing", async (t) => {
    await status(scene);
    const facts = () => Promise.all(nodes.map(agentFiles));
    const before = await facts();
    failsWith(t, await upgrade(next), "RELEASE_REFUSED", [/would not be possible to roll back/, /--no-rollback/]);
    const other = await packEmpty(folder, { Package: "khw-agent-other" });
    failsWith(t, await upgrade(other, "--no-rollback"), "INVALID_ARGUMENT", [/"khw-agent-other", not khw-agent/]);
    const foreign = await packEmpty(folder, { Architecture: architecture === "amd64" ? "arm64" : "amd64" });
    failsWith(t, await upgrade(foreign, "--no-rollback"), "INVALID_ARGUMENT", [/this machine is/]);
    const older = await packEmpty(folder, { Version: "0.0.9" });
    failsWith(t, await upgrade(older, "--no-rollback"), "RELEASE_REFUSED", [/older/, /--allow-downgrade/]);
    const cut = join(folder, "cut.deb");
    await run("sh", ["-c", `head -c 1000000 ${next} >${cut}`]);
    failsWith(t, await upgrade(cut, "--no-rollback"), "INVALID_ARGUMENT", [/dpkg-deb/]);
    await workstation.mustKhw(["pki", "issue", "looker", "--role", "viewer"]);
    const viewer = ["--management-certificate", "khw-pki/looker.pem", "--management-key", "khw-pki/looker-key.pem"];
    failsWith(t, await upgrade(next, "--no-rollback", ...viewer), "PERMISSION_DENIED", [/role viewer/]);
    t.strictSame(await facts(), before);
    t.equal(await pids(nodes, "khw-agent.service"), agents);
  });

  await scenario(
    t,
    "an upgrade to the running version stores the package for a rollback but does not restart the agent",
    async (t) => {
      const kept = await upgrade(agentPackage);
      t.equal(kept.code, 0, kept.stdout + kept.stderr);
      t.equal(await pids(nodes, "khw-agent.service"), agents);
    },
  );

  await scenario(t, "three agents are upgraded, and etcd keeps running", async (t) => {
    const done = await upgrade(next);
    t.equal(done.code, 0, done.stdout + done.stderr);
    t.comment(done.stdout);
    const found = await status(scene);
    t.strictSame(
      found.map(({ agentVersion }) => agentVersion),
      every("0.2.0"),
    );
    t.strictSame(
      found.map(({ agentUpgrade }) => agentUpgrade?.state),
      every("done"),
    );
    t.equal(await pids(nodes, "etcd.service"), etcd);
    t.not(await pids(nodes, "khw-agent.service"), agents);
    const events = await workstation.mustKhw(["events", ...all]);
    t.match(
      events,
      new RegExp(`upgrade of the agent from ${own.replaceAll(".", "[.]")} to 0[.]2[.]0 by admin .*: done`),
    );
    for (const node of nodes) {
      t.equal(await node.must(["sh", "-c", "ls /etc/systemd/system | grep rollback; true"]), "", "no timer is left");
      t.equal(await node.must(["ls", "/var/lib/khw-agent/packages"]), "kept.deb\n");
      t.equal(await node.must(["stat", "-c", "%a", "/var/lib/khw-agent/packages/kept.deb"]), "600\n");
    }
  });

  await scenario(t, "an agent that does not start is rolled back, and the other nodes are not touched", async (t) => {
    const running = await pids(others, "khw-agent.service");
    const broken = await pack(folder, { version: "0.3.0", broken: true });
    const start = performance.now();
    const result = await upgrade(broken);
    t.comment(`${seconds(performance.now() - start)}: ${result.stdout}${result.stderr}`);
    failsWith(t, result, "PARTIAL", [
      /0\.2\.0 is installed again: .*this agent is broken/,
      /skipped because controller-0 failed/,
    ]);
    t.strictSame(await versions(nodes), every("0.2.0"));
    t.match(await status(scene), [
      { agentVersion: "0.2.0", agentUpgrade: { state: "rolled-back" } },
      { agentUpgrade: { state: "done" } },
    ]);
    t.equal(await pids(others, "khw-agent.service"), running);
    t.equal(await pids(nodes, "etcd.service"), etcd);
    t.equal(await first.must(["sh", "-c", "ls /etc/systemd/system | grep rollback; true"]), "");
  });

  await scenario(t, "a healthy new agent is rolled back if the client is killed before calling it", async (t) => {
    const good = await pack(folder, { version: "0.4.0" });
    const client = scene.start("agent", "upgrade", ...all, "--deb", good);
    await begins(first, "0.4.0");
    t.ok(client.kill());
    await client.ended;
    // The test must not call the agent, because an answered call would confirm the upgrade.
    await has(first, "0.4.0");
    t.comment(`back ${seconds(await has(first, "0.2.0"))} after the new agent served`);
    const [node] = await status(scene);
    t.match(node?.agentUpgrade, { state: "rolled-back", report: /0\.4\.0 did not answer an administrator/ });
    t.strictSame(await versions(nodes), every("0.2.0"));
    t.equal(await pids(nodes, "etcd.service"), etcd);
    const again = await upgrade(good);
    t.equal(again.code, 0, again.stdout + again.stderr);
    t.strictSame(await versions(nodes), every("0.4.0"));
    t.equal(await pids(nodes, "etcd.service"), etcd);
  });

  const losePower = async (t: Test, version: string, afterBoot: (node: TestbedNode) => Promise<void>) => {
    const broken = await pack(folder, { version, broken: true });
    const client = scene.start("agent", "upgrade", last.name, ...all, "--deb", broken);
    const [before = ""] = await versions([last]);
    await until(last, `[ "$(dpkg-query --show --showformat='\${Version}' khw-agent)" = ${version} ]`);
    await last.powerOff();
    await last.powerOn();
    await afterBoot(last);
    t.comment(`back after ${seconds(await has(last, before))}`);
    client.interrupt();
    const { stdout, stderr } = await client.ended;
    t.match(stdout + stderr, /is installed again/);
    const node = (await status(scene)).at(-1);
    t.equal(node?.agentUpgrade?.state, "rolled-back");
  };

  await scenario(t, "after a power loss during an upgrade, systemd restores the previous agent", (t) =>
    losePower(t, "0.5.0", () => Promise.resolve()),
  );

  // In a real upgrade, the new version is marked as `reinst-required` only for an instant. Therefore, the test writes the
  // mark to dpkg's status file.
  await scenario(
    t,
    "after a power loss, systemd restores the previous agent even if the new version is marked as reinst-required",
    (t) =>
      losePower(t, "0.6.0", async (node) => {
        const script = `dpkg --set-selections </dev/null
        sed -i '/^Package: khw-agent$/,/^$/s/^Status: .*/Status: install reinstreq unpacked/' /var/lib/dpkg/status
        dpkg-query --show --showformat='\${Status} \${Version}' khw-agent`;
        t.equal(await node.must(["sh", "-ec", script]), "install reinstreq unpacked 0.6.0");
      }),
  );
});
