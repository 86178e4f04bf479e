/**
 * Checks that bootstrap reports problems before it changes anything. All scenarios share one testbed, which must stay
 * unchanged until the last scenario.
 */
import { cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

import t, { type Test } from "tap";

import { issue as issueIdentity } from "../../client/pki/management/issue.ts";
import { addFiles, identityFiles, readAuthority } from "../../client/pki/folder.ts";
import type { ErrorCode } from "../../proto/errors.ts";
import { failsWith, fingerprint, journal, openScene, scenario } from "../fixtures/faults.ts";
import { issue, makeAuthority, makeKey, subjectAlternativeNames } from "../testbed/index.ts";
import type { RunResult } from "../testbed/index.ts";

t.test("bootstrap refuses invalid input and unsuitable machines before changing anything", async (t) => {
  await using scene = await openScene(3);
  const { testbed, workstation, bootstrap, node } = scene;

  /** Returns everything that a bootstrap could change. */
  const state = async (): Promise<unknown> =>
    Promise.all([testbed.compute.mutations(), ...testbed.nodes.map((each) => fingerprint(each))]);
  const fresh = await state();
  /** Asserts that the attempt fails with the expected error, and that nothing has changed on the new machines. */
  const refused = async (
    t: Test,
    attempt: RunResult,
    { kind, said }: { readonly kind: ErrorCode; readonly said: readonly RegExp[] },
  ): Promise<void> => {
    failsWith(t, attempt, kind, [...said, /^hint: .|\(.+\)$/m]);
    t.strictSame(await state(), fresh, "nothing was changed");
  };

  await scenario(t, "invalid arguments and an invalid khw.yaml are refused", async (t) => {
    const flags: readonly (readonly [string, string, ErrorCode, RegExp])[] = [
      ["--kubernetes-version", "v9.99.0", "INVALID_ARGUMENT", /--kubernetes-version: "v9\.99\.0"/],
      ["--kubernetes-version", "1.21.0; rm -rf /", "INVALID_ARGUMENT", /--kubernetes-version: "1\.21\.0; rm -rf \/"/],
      ["--service-cidr", "10.200.7.0/24", "CONFIG_INVALID", /serviceCidr 10\.200\.7\.0\/24 overlaps/],
      ["--kube-apiserver-flag", "v=4\nExecStartPre=/bin/touch /owned", "INVALID_ARGUMENT", /flag: .*line break/],
      ["--kube-apiserver-flag", 'v=4" --anonymous-auth=true "', "INVALID_ARGUMENT", /flag: .*quotation mark/],
    ];
    for (const [flag, value, kind, said] of flags) {
      failsWith(t, await bootstrap(flag, value), kind, [said, /^hint: ./m]);
    }
    const file = join(workstation.folder, "wrong.yaml");
    await writeFile(
      file,
      "kubernetes:\n  flags:\n    kube-scheduler:\n      v: |\n        4\n        ExecStopPost=/bin/false\n",
    );
    const attempt = await bootstrap("--config", file);
    await refused(t, attempt, { kind: "CONFIG_INVALID", said: [/wrong\.yaml:4\b.*line break/s] });
  });

  await scenario(
    t,
    "bootstrap refuses invalid credential files, and the error names the file and the reason",
    async (t) => {
      const names = subjectAlternativeNames(testbed);
      const without = (name: string): readonly string[] => names.filter((each) => each !== `IP:${name}`);
      const spoil: readonly (readonly [(folder: string) => Promise<unknown>, RegExp])[] = [
        [(folder) => rm(join(folder, "encryption-config.yaml")), /encryption-config\.yaml: is missing/],
        [(folder) => makeKey(folder, "kubernetes"), /kubernetes-key\.pem: is not the key of kubernetes\.pem/],
        [(folder) => issue(folder, "kubernetes", { names, days: -1 }), /kubernetes\.pem: notAfter: expired on 20/],
        [
          async (folder) => {
            const authority = join(folder, "another");
            await makeAuthority(authority);
            await issue(folder, "kubernetes", { names, authority });
          },
          /kubernetes\.pem: issuer: was not issued by the CA/,
        ],
        [
          (folder) => issue(folder, "kubernetes", { names: without(testbed.publicAddress) }),
          /kubernetes\.pem: subjectAltName: lacks 203\.0\.113\.10 \(the public address\)/,
        ],
        [
          (folder) => issue(folder, "kubernetes", { names: without(node(2).address) }),
          /kubernetes\.pem: subjectAltName: lacks 10\.240\.0\.12 \(controller-2\)/,
        ],
      ];
      for (const [spoilt, said] of spoil) {
        const folder = await mkdtemp(join(testbed.folder, "spoilt-"));
        await cp(testbed.credentials, folder, { recursive: true });
        await spoilt(folder);
        failsWith(t, await bootstrap("--credentials", folder), "CREDENTIAL_INVALID", [said, /^hint: ./m]);
      }
      t.strictSame(await state(), fresh, "nothing was changed");
    },
  );

  await scenario(t, "callers with a missing, untrusted, expired or unprivileged certificate are refused", async (t) => {
    const pki = join(workstation.folder, "khw-pki");
    const as = (name: string): readonly string[] => [
      `--management-certificate=${join(pki, `${name}.pem`)}`,
      `--management-key=${join(pki, `${name}-key.pem`)}`,
    ];
    const other = join(workstation.folder, "other-pki");
    await workstation.mustKhw(["pki", "init", "--folder", other]);
    await workstation.mustKhw(["pki", "issue", "--role", "viewer", "jane"]);
    const lastYear = new Date(Date.now() - 400 * 86_400_000);
    const expired = await issueIdentity(await readAuthority(pki), { name: "late", role: "admin", days: 365 }, lastYear);
    await addFiles(pki, identityFiles("late", expired));

    const to = [
      `${node(0).address}:7443`,
      "-servername",
      "controller-0",
      "-CAfile",
      join(pki, "ca.pem"),
      "-alpn",
      "h2",
    ];
    const nobody = await testbed.run(["openssl", "s_client", "-quiet", "-ign_eof", "-connect", ...to]);
    t.match(
      nobody.stdout,
      /UNAUTHENTICATED: the caller presents no certificate/,
      "a caller without a certificate is refused",
    );

    const stranger = [`--management-certificate=${other}/admin.pem`, `--management-key=${other}/admin-key.pem`];
    const callers: readonly (readonly [readonly string[], ErrorCode, RegExp])[] = [
      [stranger, "UNAUTHENTICATED", /controller-\d: the caller's certificate is not signed by the management CA/],
      [as("late"), "UNAUTHENTICATED", /controller-\d: the caller's certificate expired at 20/],
      [as("controller-1"), "UNAUTHENTICATED", /controller-\d: the caller's certificate was not issued for callers/],
      [as("jane"), "PERMISSION_DENIED", /controller-\d: jane \(role viewer\) is not allowed to call Preflight/],
      [[...stranger, `--management-ca=${other}/ca.pem`], "WRONG_NODE", /controller-\d: .* is not trusted/],
      [as("jane").slice(1), "CREDENTIAL_INVALID", /management identity: .*key values mismatch/],
    ];
    for (const [identity, kind, said] of callers) {
      failsWith(t, await bootstrap(...identity), kind, [said, /hint: |\(.+\)$/m]);
    }
    t.strictSame(await state(), fresh, "nothing was changed");
    const told = await journal(node(0));
    t.match(told, /refused a connection from 10\.240\.0\.1: the caller's certificate expired at 20/);
    t.match(told, /refused a connection from 10\.240\.0\.1: the caller presents no certificate/);
    t.match(
      (await Promise.all(testbed.nodes.map((each) => journal(each)))).join("\n"),
      /audit: "jane" \(viewer, .* from 10\.240\.0\.1:\d+: AgentService\/Preflight: PERMISSION_DENIED/,
    );
  });

  await scenario(
    t,
    "bootstrap reports within 30 s that the metadata server is down, sends garbage or is an impostor",
    async (t) => {
      const agentOf = async (): Promise<string> =>
        node(1).must(["systemctl", "show", "--property=MainPID,NRestarts", "khw-agent.service"]);
      await testbed.metadata.setFaults({ kind: "drop" });
      await Promise.all(testbed.nodes.map((each) => each.must(["systemctl", "restart", "khw-agent.service"])));
      const agent = await agentOf();
      const faults = [
        [{ kind: "drop" }, /controller-1.*: metadata server: .* did not answer within 8 s; last: /],
        [
          { kind: "delay" },
          /controller-1.*: metadata server: .* did not answer within 8 s; last: .*no answer within 3 s/,
        ],
        [{ kind: "body", body: "<html>Sign in</html>" }, /controller-1.*: metadata server: .*"<html>Sign in<\/html>" /],
        [{ kind: "unsigned" }, /controller-1.*: metadata server: .* is not Google's: .* Metadata-Flavor: Google/],
      ] as const;
      for (const [fault, said] of faults) {
        await testbed.metadata.setFaults(fault);
        const start = performance.now();
        failsWith(t, await bootstrap(), "METADATA_UNAVAILABLE", [said, /\(.+\)$/m]);
        t.ok(performance.now() - start < 30_000, "the refusal takes less than 30 s");
      }
      t.match(await node(1).must(["systemctl", "status", "khw-agent.service"]), "this machine's identity is unknown");

      await testbed.metadata.setFaults();
      t.equal((await workstation.khw(["plan", "--nodes", "controller-0,1,2"])).code, 2);
      t.equal(await agentOf(), agent, "the agent was not restarted while the metadata server was faulty");
      t.match(await node(1).must(["systemctl", "status", "khw-agent.service"]), /Status: "serving"/);
      t.strictSame(await state(), fresh, "nothing was changed");
    },
  );

  await scenario(
    t,
    "ports in use, a full disk, clock skew and an etcd cluster without quorum are all reported in one run",
    async (t) => {
      const [first, second, third] = [node(0), node(1), node(2)];
      const take = async (port: number): Promise<unknown> =>
        first.must([
          "systemd-run",
          `--unit=taken-${port}`,
          "systemd-socket-activate",
          "--accept",
          "-l",
          String(port),
          "cat",
        ]);
      const ports = [6443, 80, 10257, 10259];
      for (const port of ports) await take(port);
      await second.must(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", "/var/lib/kubernetes"]);
      await third.skewClock("khw-agent.service", 90);
      await third.must(["systemctl", "restart", "khw-agent.service"]);
      await Promise.all([first, third].map((each) => each.must(["systemctl", "stop", "etcd"])));

      const before = await state();
      const attempt = await bootstrap();
      failsWith(t, attempt, "PREFLIGHT_FAILED", [
        /^nothing was changed, because of these findings/,
        ...ports.map((port) => new RegExp(`controller-0: .*port ${port} is in use by systemd-socket.* \\(pid \\d+\\)`)),
        /controller-1: .*only [01] MiB are free in \/var\/lib\/kubernetes, but khw needs \d+ MiB/,
        /controller-2: .*its clock is (89|90|91) s ahead of that of controller-0 \(.*timedatectl/,
        ...[0, 1, 2].map(
          (n) => new RegExp(`controller-${n}.*: .*etcd has no healthy majority: .*10\\.240\\.0\\.12:2379`),
        ),
      ]);
      t.strictSame(await state(), before, "nothing was changed");

      await first.must(["systemctl", "stop", ...ports.map((port) => `taken-${port}.service`)]);
      await second.must(["umount", "/var/lib/kubernetes"]);
      await third.skewClock("khw-agent.service", 0);
      await third.must(["systemctl", "restart", "khw-agent.service"]);
      await Promise.all([first, third].map((each) => each.must(["systemctl", "start", "etcd"])));
    },
  );

  await scenario(t, "the same command succeeds once all problems are fixed", async (t) => {
    const { code, stderr } = await bootstrap();
    t.equal(code, 0, stderr);
  });
});
