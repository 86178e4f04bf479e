import t from "tap";
import { agentVersions, componentVersions, etcdFindings } from "../../../../client/doctor/among-nodes.ts";
import { type DoctorCheck, type Finding, ranked, runChecks } from "../../../../client/doctor/check.ts";
import { isSound } from "../../../../client/doctor/doctor.ts";
import { backendFinding } from "../../../../client/doctor/load-balancer.ts";
import { reportText } from "../../../../client/doctor/report.ts";
import type { HealthState } from "../../../../client/gce/health.ts";
import { KhwError } from "../../../../proto/errors.ts";
import { Health } from "../../../../proto/gen/khw/agent/v1/agent.ts";
import { component, wellStatus } from "../../../fixtures/status.ts";

const { signal } = new AbortController();

function finding(severity: Finding["severity"], message: string): Finding {
  return { severity, where: "controller-0", subject: "nginx", message, remedy: "mend it" };
}

function check(title: string, run: DoctorCheck["run"]): DoctorCheck {
  return { where: "controller-0", title, run };
}

t.test(
  "findings are sorted by severity, and a check that fails or hangs is reported without delaying other checks",
  async (t) => {
    const began = performance.now();
    const results = await runChecks(
      [
        check("one", async () => [finding("note", "a"), finding("error", "b")]),
        check("two", async () => []),
        check("three", async () => {
          throw new KhwError("UNREACHABLE", "no server is there");
        }),
        check("four", () => new Promise(() => {})),
        check("five", async () => [finding("warning", "c"), finding("error", "d")]),
      ],
      { signal, deadlineMillis: 100 },
    );
    t.ok(performance.now() - began < 5_000);
    t.strictSame(
      ranked(results).map(({ message }) => message),
      ["b", "d", "c", "a"],
    );
    const text = reportText(results, { paint: (_, plain) => plain, verbose: true });
    t.match(text, "error    controller-0: nginx: b\n         remedy: mend it\n");
    t.match(text, "not run  controller-0: three: no server is there\n");
    t.match(text, "not run  controller-0: four: the check did not finish within 0.1 s\n");
    t.match(text, "passed   controller-0: two\n");
    t.match(text, /5 checks: 1 passed; 2 errors, 1 warning, 1 note; 2 checks could not run\n$/);
  },
);

t.test("a report is sound if it contains no errors and every check could run", async (t) => {
  const run = async (work: DoctorCheck["run"]) =>
    isSound(await runChecks([check("one", work)], { signal, deadlineMillis: 100 }));
  t.equal(await run(async () => []), true);
  t.equal(await run(async () => [finding("warning", "a"), finding("note", "b")]), true);
  t.equal(await run(async () => [finding("error", "a")]), false);
  t.equal(await run(async () => Promise.reject(new Error("boom"))), false);
});

const well = { status: wellStatus("controller-0") };
const ill = {
  status: wellStatus("controller-0", { components: [component("nginx", { health: Health.HEALTH_UNHEALTHY })] }),
};
const drained = {
  status: wellStatus("controller-0", { maintenance: { drained: true, holder: "a", sinceUnixMillis: 1 } }),
};

const backends: readonly [
  what: string,
  state: HealthState,
  said: typeof well | undefined,
  severity?: Finding["severity"],
  words?: RegExp,
][] = [
  ["a healthy node that the load balancer reports as HEALTHY causes no finding", "HEALTHY", well],
  ["a drained node that the load balancer reports as UNHEALTHY causes no finding", "UNHEALTHY", drained],
  [
    "a drained node that the load balancer reports as HEALTHY causes a warning",
    "HEALTHY",
    drained,
    "warning",
    /still HEALTHY/,
  ],
  [
    "a healthy node that the load balancer reports as UNHEALTHY causes an error about the firewall",
    "UNHEALTHY",
    well,
    "error",
    /do not reach it/,
  ],
  ["an unhealthy node that the load balancer reports as HEALTHY causes a warning", "HEALTHY", ill, "warning", /nginx/],
  [
    "an unhealthy node that the load balancer reports as UNHEALTHY causes a warning",
    "UNHEALTHY",
    ill,
    "warning",
    /nginx is not healthy/,
  ],
  ["a serving node whose agent does not respond causes a note", "HEALTHY", undefined, "note", /but its agent/],
  [
    "an UNHEALTHY node whose agent does not respond causes a warning",
    "UNHEALTHY",
    undefined,
    "warning",
    /agent does not answer/,
  ],
  ["a node that is not in the pool causes an error", "MISSING", well, "error", /target pool/],
  [
    "a pool without a forwarding rule causes a warning",
    "UNKNOWN",
    well,
    "warning",
    /does not report the node's health/,
  ],
];

for (const [what, state, said, severity, words] of backends) {
  t.test(what, async (t) => {
    const found = backendFinding("controller-0", state, said);
    t.equal(found?.severity, severity);
    if (words !== undefined) t.match(found?.message, words);
  });
}

function nodes(...versions: readonly (readonly [agent: string, apiserver: string])[]) {
  return versions.map(([agentVersion, version], index) => {
    const name = `controller-${index}`;
    return { name, status: wellStatus(name, { agentVersion, components: [component("kube-apiserver", { version })] }) };
  });
}

t.test("agent versions that differ from each other or from the client's version are reported", async (t) => {
  t.strictSame(agentVersions(nodes(["1.0.0", "v1"], ["1.0.0", "v1"]), "1.0.0"), []);
  t.match(agentVersions(nodes(["1.0.0", "v1"], ["1.1.0", "v1"]), "1.0.0"), [
    { message: "differ among the nodes: 1.0.0 on controller-0; 1.1.0 on controller-1" },
    { message: "1.1.0 on controller-1, but this client has version 1.0.0" },
  ]);
});

t.test("component versions that differ between nodes are reported", async (t) => {
  t.strictSame(componentVersions(nodes(["1", "v1.21.0"], ["1", "v1.21.0"])), []);
  t.match(componentVersions(nodes(["1", "v1.21.0"], ["1", "v1.20.0"])), [
    { subject: "kube-apiserver", message: /v1\.21\.0 on controller-0; v1\.20\.0 on controller-1/ },
  ]);
});

t.test("etcd members of unknown health count as unhealthy for the quorum", async (t) => {
  const member = (name: string, health: Health) => ({
    name,
    status: wellStatus(name, { components: [component("etcd", { health })] }),
  });
  const [up, down] = [Health.HEALTH_HEALTHY, Health.HEALTH_UNHEALTHY];
  const three = [member("a", up), member("b", up), member("c", down)];
  t.strictSame(etcdFindings(three, 3), []);
  t.match(etcdFindings([member("a", up), member("b", down)], 3), [
    { severity: "error", message: /^only 1 of 3 members/ },
  ]);
  t.match(etcdFindings([member("a", up)], 3), [{ severity: "error" }]);
  t.match(etcdFindings([member("a", up), member("b", up)], 2), [{ severity: "warning", message: /has 2 members/ }]);
  t.strictSame(etcdFindings(nodes(["1", "v1"]), 1), [], "an external etcd causes no findings");
});
