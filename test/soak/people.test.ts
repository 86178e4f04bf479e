/**
 * Bootstraps one machine that has problems known from real machines, then kills its programs. Each problem must be
 * reported before the installation, and the printed remedy must work. Each crash must be reported with the first line
 * that the program printed about the crash.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import t, { type Test } from "tap";

import { allWell } from "../faults/measure.ts";
import { watchNodes } from "../faults/watch.ts";
import { exitOf, openScene } from "../fixtures/faults.ts";
import { messageCatalogue } from "../fixtures/message-catalogue.ts";
import type { RunResult } from "../testbed/command.ts";
import { namespaceOf, namespacePath } from "../testbed/layout.ts";

const scene = await openScene(1);
t.teardown(() => scene[Symbol.asyncDispose]());
const { testbed, workstation } = scene;
const node = scene.node(0);
const nodes = ["--nodes", node.name];
const khw = (...args: readonly string[]): Promise<RunResult> => workstation.khw([...args, ...nodes]);
const sh = (script: string): Promise<string> =>
  node.must(["sh", "-ec", script], { env: { DEBIAN_FRONTEND: "noninteractive" } });

const dropIn = "/etc/systemd/system/nginx.service.d/no-ipv6.conf";
const defaultSite = "/etc/nginx/sites-available/default";

/** Runs a bootstrap that preflight must refuse. Returns the text of the refusal. */
async function refusal(t: Test): Promise<string> {
  const { code, stdout, stderr } = await scene.bootstrap();
  t.equal(code, exitOf("PREFLIGHT_FAILED"), stdout + stderr);
  t.notMatch(stdout, /package\/nginx/, "no step was started");
  return stderr.replaceAll(/\s+/g, " ");
}

/** Returns the command in a printed remedy that contains this text. */
function remedy(text: string, words: string): string {
  const found = Array.from(text.matchAll(/run `([^`]+)`/g), ([, command = ""]) => command);
  const command = found.find((each) => each.includes(words));
  if (command === undefined) throw new Error(`no remedy with ${words} in: ${text}`);
  return command;
}

t.test("a machine without IPv6 is refused before nginx is installed, and the printed remedy works", async (t) => {
  await sh(`mkdir -p ${dropIn.replace(/\/[^/]+$/, "")}
    printf '[Service]\\nRestrictAddressFamilies=AF_UNIX AF_INET AF_NETLINK\\n' >${dropIn}; systemctl daemon-reload`);
  const said = await refusal(t);
  t.match(said, `nginx's default site listens on IPv6, but IPv6 is not available (${dropIn} forbids it)`);
  await sh(remedy(said, defaultSite));
  await sh("apt-get update -qq; apt-get install -y -o Dpkg::Options::=--force-confold nginx");
  t.equal((await sh("systemctl is-active nginx")).trim(), "active");
});

t.test("preflight detects a deleted nginx configuration, and the printed remedy works", async (t) => {
  await sh("apt-get remove -y nginx nginx-common; rm -rf /etc/nginx");
  const said = await refusal(t);
  t.match(said, "/etc/nginx/nginx.conf has been deleted");
  await sh(`${remedy(said, "force-confmiss")} -y`);
  await sh("test -s /etc/nginx/nginx.conf");
});

t.test("Debian's default nginx site is refused on a machine without IPv6, and the printed remedy works", async (t) => {
  const said = await refusal(t);
  t.match(said, `remove the line \`listen [::]:80\` from ${defaultSite}`);
  await sh(`sed -i '/listen \\[::\\]:80/d' ${defaultSite}`);
  await sh(remedy(said, "dpkg --configure"));
});

t.test("preflight detects a masked nginx.service, and the printed remedy works", async (t) => {
  await sh("systemctl mask nginx.service");
  const said = await refusal(t);
  t.match(said, "nginx.service is masked");
  await sh(remedy(said, "unmask"));
});

t.test("bootstrap waits for the holder of dpkg's lock even if apt's messages are German", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "khw-locale-"));
  t.teardown(() => rm(folder, { recursive: true }));
  const english = "Could not get lock %s. It is held by process %d (%s)";
  const german = "Sperre %s konnte nicht erlangt werden. Sie wird von Prozess %d (%s) gehalten.";
  await writeFile(join(folder, "mo"), messageCatalogue({ [english]: german }), { mode: 0o644 });
  await node.copyIn(join(folder, "mo"), "/usr/share/locale/de/LC_MESSAGES/libapt-pkg6.0.mo");
  await sh(`printf 'LANG=de_DE.UTF-8\\nLANGUAGE=de\\n' | tee /etc/locale.conf >/etc/default/locale
    systemctl daemon-reexec; systemctl restart khw-agent
    systemd-run --quiet --unit=khw-test-holder --service-type=notify --property=NotifyAccess=all perl -e '
      use Fcntl; open(F, ">>", "/var/lib/dpkg/lock-frontend");
      my $lock = pack("s s l! l! i", F_WRLCK, 0, 0, 0, 0); fcntl(F, F_SETLK, $lock) or die; system("systemd-notify --ready"); sleep'`);
  const asSystemd = [
    "systemd-run",
    "--quiet",
    "--wait",
    "--pipe",
    "--setenv=LC_ALL=C.UTF-8",
    "apt-get",
    "install",
    "nginx",
  ];
  t.match((await node.run(asSystemd)).stderr, /Sperre .* gehalten/, "apt's messages are in German on this machine");

  // Go programs must print all goroutines when they crash, and the journal must keep all lines.
  await sh(`systemctl set-environment GOTRACEBACK=all
    mkdir -p /etc/systemd/journald.conf.d; printf '[Journal]\\nRateLimitBurst=0\\n' >/etc/systemd/journald.conf.d/all.conf
    systemctl restart systemd-journald`);
  const client = scene.begin("--output", "json");
  await client.said(/waiting for perl \(pid \d+\)/);
  await sh("systemctl stop khw-test-holder");
  const { code, stdout, stderr } = await client.ended;
  t.equal(code, 0, stdout + stderr);
  t.equal((await sh("systemctl is-active nginx")).trim(), "active", "nginx runs on a machine without IPv6");
});

/** Opens watches on the API server, so that it has many goroutines. */
async function openWatches(count: number): Promise<{ close(): void }> {
  const program = join(import.meta.dirname, "../fixtures/open-watches.ts");
  const argv = [program, `https://${node.address}:6443`, testbed.credentials, String(count)];
  const network = `--net=${namespacePath(namespaceOf(testbed.id))}`;
  const { NODE_OPTIONS: _, ...env } = process.env;
  const child = spawn("nsenter", [network, "--", process.execPath, ...argv], {
    env,
    stdio: ["pipe", "pipe", "inherit"],
  });
  const [said] = await Promise.race([once(child.stdout, "data"), once(child, "exit")]);
  if (String(said) !== "open\n") throw new Error(`no watches: ${said}`);
  return { close: () => child.stdin.end() };
}

const deaths = [
  {
    signal: "SEGV",
    watches: 0,
    cause: "program-crashed",
    line: /^SIGSEGV: segmentation violation/,
    says: /its program crashed: SIGSEGV/,
  },
  {
    signal: "ABRT",
    watches: 600,
    cause: "ended-by-signal",
    line: /^SIGABRT: abort/,
    says: /another process killed it with SIGABRT/,
  },
] as const;

t.test("a kube-apiserver that crashes or hangs is diagnosed correctly", async (t) => {
  await using watch = watchNodes(testbed, workstation);
  await allWell(testbed.nodes, watch, 120_000);
  const diagnosisNow = (pid: string) =>
    watch.until(() => {
      const { diagnosis, pid: now } = watch.view(node.name).components.get("kube-apiserver") ?? {};
      return now !== Number(pid) && diagnosis !== undefined ? diagnosis : undefined;
    }, AbortSignal.timeout(120_000));
  const mainPid = async (): Promise<string> =>
    (await sh("systemctl show --property=MainPID --value kube-apiserver")).trim();

  for (const { signal, watches, cause, line, says } of deaths) {
    await t.test(`a crash by SIG${signal} with ${watches} open watches is diagnosed`, async (t) => {
      const open = await openWatches(watches);
      const pid = await mainPid();
      await sh(`kill -${signal} ${pid}`);
      const diagnosis = await diagnosisNow(pid);
      open.close();
      t.match(diagnosis, { cause, message: says });
      t.match(diagnosis.lines[0] ?? "", line);
      const [status, doctor] = await Promise.all([khw("status"), khw("doctor")]);
      t.match(status.stdout + status.stderr, says);
      t.match(doctor.stdout.replaceAll(/\s+/g, " "), says);
      await allWell(testbed.nodes, watch, 120_000);
      t.match((await khw("events")).stdout.replaceAll(/\s+/g, " "), `${cause}: `);
      const lines = Number(
        await sh(`journalctl --sync; journalctl _PID=${pid} --output=cat | sed '1,/^SIG/d' | wc -l`),
      );
      t.comment(`${lines} lines follow the first line of the crash`);
      if (watches > 0) t.ok(lines > 20_000, `more than 20000 lines were written: ${lines}`);
    });
  }

  await t.test("a hanging kube-apiserver is restarted by the agent and not reported as crashed", async (t) => {
    const pid = await mainPid();
    await sh(`kill -STOP ${pid}`);
    const client = scene.start("events", "--follow", ...nodes);
    await client.said(/restarted by the agent/);
    client.interrupt();
    await allWell(testbed.nodes, watch, 120_000);
    t.not(await mainPid(), pid);
    const since = await khw("events", "--since", "3m", "-o", "json");
    t.notMatch(
      since.stdout.slice(since.stdout.lastIndexOf("restarted by the agent")),
      /program-crashed|ended-by-signal|killed:/,
    );
  });
});
