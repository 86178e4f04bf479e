import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import t from "tap";

import { readAuthority } from "../../client/pki/folder.ts";
import { issue } from "../../client/pki/management/issue.ts";
import { plainEnvironment } from "../testbed/command.ts";
import type { RunResult } from "../testbed/command.ts";
import { startTestbed } from "../testbed/index.ts";
import type { TestbedNode } from "../testbed/index.ts";
import { metadataAddress, namespaceOf, namespacePath, project } from "../testbed/layout.ts";
import { agentPackage, clientProgram } from "../testbed/workstation.ts";

const dayMillis = 86_400_000;
const pkiFolder = "/etc/khw-agent/pki";

t.test("enrol issues certificates to agents without copying files", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "khw-enrol-e2e-"));
  t.teardown(() => rm(folder, { recursive: true }));
  const testbed = await startTestbed({ nodes: 2, withEtcd: false });
  t.teardown(() => testbed.stop());
  const [first, second] = testbed.nodes;
  if (first === undefined || second === undefined) throw new Error("expected two nodes");

  const keys = join(folder, "jwks.json");
  await writeFile(keys, await testbed.must(["curl", "-sSf", `http://${metadataAddress}/oauth2/v3/certs`]));
  const where = ["--project", project.id, "--region", project.region, "--zone", project.zone];
  const google = [...where, "--compute-endpoint", testbed.computeUrl, "--gce-auth", "none"];
  const reaching = (nodes: string): readonly string[] => ["--nodes", nodes, ...google, "--node-addresses", "internal"];
  const client = async (...argv: readonly string[]): Promise<RunResult> =>
    testbed.run([clientProgram, ...argv], { cwd: folder, timeoutMs: 300_000 });
  const enrol = async (nodes: string, ...more: readonly string[]): Promise<RunResult> =>
    client("enrol", ...reaching(nodes), "--identity-jwks", keys, "--node-timeout", "60s", ...more);
  const pki = join(folder, "khw-pki");
  t.equal((await client("pki", "init")).code, 0);

  /** Generates a new key and replaces the node's certificate with a certificate for that key. */
  const putIdentity = async (node: TestbedNode, begun: Date): Promise<void> => {
    const authority = await readAuthority(pki);
    const { certificate, key } = await issue(authority, { name: node.name, role: "agent", days: 90 }, begun);
    const files = { "ca.pem": authority.certificate, "agent-key.pem": key, "agent.pem": certificate };
    for (const [name, input] of Object.entries(files)) {
      await node.must(["sh", "-ec", 'umask 077; cat >"$0.by-hand"; mv "$0.by-hand" "$0"', `${pkiFolder}/${name}`], {
        input,
      });
    }
    await node.must(["systemctl", "restart", "khw-agent.service"]);
  };

  await t.test("a newly installed agent waits to be enrolled and accepts only enrolment calls", async (t) => {
    for (const node of testbed.nodes) await install(node);
    for (const node of testbed.nodes) {
      t.match(await property(node, "StatusText"), /^waiting to be enrolled/);
      t.equal(await node.must(["ls", pkiFolder]), "agent-key.pem.next\n");
    }
    const asked = await client("events", ...reaching("controller-0"));
    t.equal(asked.code, 77, asked.stdout + asked.stderr);
    t.match(asked.stderr, /does not have a certificate from the management CA.*\n.*khw-client enrol/s);
  });

  await t.test(
    "a node that cannot prove its instance identity gets no certificate, and the other nodes are enrolled",
    async (t) => {
      // The machine's other metadata must be preserved.
      const instance = `projects/${project.id}/zones/${project.zone}/instances/controller-0`;
      const items = [{ key: "startup-script", value: "#!/bin/sh\n" }];
      await testbed.compute.changeState({ put: { [instance]: { metadata: { fingerprint: "AAAAAAAAAAA=", items } } } });
      await testbed.metadata.setFaults({ kind: "body", path: "identity", body: "forged.token.here", times: 1 });
      const result = await enrol("controller-0,1");
      await testbed.metadata.setFaults();
      t.equal(result.code, 3, result.stdout + result.stderr);
      t.match(
        result.stderr,
        /^controller-\d: the instance's identity token was rejected: .*\nhint: .*nothing was signed/m,
      );
      t.match(result.stdout, /^controller-\d: Google's token proves that this is instance \d+ of khw-testbed$/m);
      t.match(result.stdout, /^controller-\d: enrolled: CN=controller-\d, O=khw:agent, valid until \d{4}-/m);
      const { resources } = await testbed.compute.state();
      t.match(resources[instance], { metadata: { items: [items[0], { key: "khw-management-ca" }] } });
    },
  );

  await t.test("a second run enrols the remaining nodes and leaves enrolled nodes unchanged", async (t) => {
    const result = await enrol("controller-0,1");
    t.equal(result.code, 0, result.stdout + result.stderr);
    t.match(result.stdout, /^controller-\d: already enrolled: CN=controller-\d, O=khw:agent/m);
    t.match(result.stdout, /^controller-\d: enrolled: CN=controller-\d, O=khw:agent/m);
    for (const node of testbed.nodes) {
      t.same((await node.must(["ls", pkiFolder])).trim().split("\n"), ["agent-key.pem", "agent.pem", "ca.pem"]);
      t.equal(await node.must(["find", pkiFolder, "-type", "f", "-not", "-perm", "0600"]), "");
      const file = (name: string): string => `${pkiFolder}/${name}`;
      t.match(await node.must(["openssl", "verify", "-CAfile", file("ca.pem"), file("agent.pem")]), /: OK/);
      t.match(await property(node, "StatusText"), /^serving/);
    }
    t.same((await readdir(pki)).sort(), ["admin-key.pem", "admin.pem", "agents.jsonl", "ca-key.pem", "ca.pem"]);
    const asked = await client("events", ...reaching("controller-0,1"));
    t.equal(asked.code, 0, asked.stderr);
  });

  await t.test(
    "a certificate is renewed after two thirds of its validity period, and no call is dropped",
    async (t) => {
      await putIdentity(first, new Date(Date.now() - 61 * dayMillis));
      const pid = await property(first, "MainPID");
      const before = await first.must(["cat", `${pkiFolder}/agent.pem`]);
      const following = spawn(
        "nsenter",
        [
          `--net=${namespacePath(namespaceOf(testbed.id))}`,
          "--",
          clientProgram,
          "events",
          "-f",
          ...reaching("controller-0"),
        ],
        { cwd: folder, env: plainEnvironment, stdio: ["ignore", "pipe", "pipe"] },
      );
      t.teardown(() => following.kill("SIGKILL"));
      let told = "";
      following.stdout.setEncoding("utf8").on("data", (more: string) => (told += more));
      let complaints = "";
      following.stderr.setEncoding("utf8").on("data", (more: string) => (complaints += more));
      while (!told.includes("started")) await once(following.stdout, "data");

      const result = await client("enrol", "--renew", ...reaching("controller-0,1"));
      t.equal(result.code, 0, result.stdout + result.stderr);
      t.match(result.stdout, /^controller-0: renewed: CN=controller-0, O=khw:agent, valid until/m);
      t.match(result.stdout, /^controller-1: its certificate is not due for renewal yet$/m);
      t.not(await first.must(["cat", `${pkiFolder}/agent.pem`]), before);
      t.equal(await property(first, "MainPID"), pid, "the agent was not restarted");
      // The log stream that was opened before the renewal reports the renewal.
      while (!told.includes("was replaced by a certificate that expires on")) await once(following.stdout, "data");
      t.equal(complaints, "");
    },
  );

  await t.test("an agent with an expired certificate is enrolled again by the same CA", async (t) => {
    await putIdentity(second, new Date(Date.now() - 91 * dayMillis));
    t.match(await property(second, "StatusText"), /^waiting to be enrolled/);
    const result = await enrol("controller-1");
    t.equal(result.code, 0, result.stdout + result.stderr);
    t.match(result.stdout, /^controller-1: enrolled: /m);
    t.match(await property(second, "StatusText"), /^serving/);
  });

  await t.test("a revoked node is not contacted, renewed or enrolled until it is readmitted", async (t) => {
    const revoked = await client("pki", "revoke", "controller-1");
    t.match(revoked.stdout, /^controller-1: revoked, with \d certificates?$/m, revoked.stderr);
    const asked = await client("events", ...reaching("controller-1"));
    t.match(asked.stderr, /certificate [0-9A-F]+ of controller-1 was revoked/);
    for (const result of [await enrol("controller-1"), await client("enrol", "--renew", ...reaching("controller-1"))]) {
      t.equal(result.code, 77, result.stdout + result.stderr);
      t.match(result.stderr, /controller-1 was revoked and cannot get a certificate\nhint: .*--readmit/);
    }
    // The machine must be wiped, because readmission alone does not make the old certificate valid again.
    const readmitted = await enrol("controller-1", "--readmit");
    t.equal(readmitted.code, 77, readmitted.stdout + readmitted.stderr);
    t.match(readmitted.stderr, /was revoked/);
    await second.must(["sh", "-c", `rm ${pkiFolder}/*; systemctl restart khw-agent.service`]);
    const result = await enrol("controller-1");
    t.equal(result.code, 0, result.stdout + result.stderr);
    t.match(result.stdout, /^controller-1: enrolled: /m);
    t.equal((await client("events", ...reaching("controller-1"))).code, 0);
    t.match(await readFile(join(pki, "agents.jsonl"), "utf8"), /"event":"readmitted"/);
  });
});

async function install(node: TestbedNode): Promise<void> {
  await node.copyIn(agentPackage, "/var/tmp/khw-agent.deb");
  await node.must(["apt-get", "install", "-qq", "-y", "/var/tmp/khw-agent.deb"], {
    env: { DEBIAN_FRONTEND: "noninteractive" },
  });
}

async function property(node: TestbedNode, name: string): Promise<string> {
  return (await node.must(["systemctl", "show", "--value", `--property=${name}`, "khw-agent.service"])).trim();
}
