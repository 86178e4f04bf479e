import t from "tap";
import { checksIn, type CisCheck } from "../../../../../client/doctor/cis/check.ts";
import type { FlagCondition, FlagRule } from "../../../../../client/doctor/cis/condition.ts";
import { type Edition, editionFor, editions, isFrom } from "../../../../../client/doctor/cis/edition.ts";
import { parseFlags, toEvidence } from "../../../../../client/doctor/cis/evidence.ts";
import { judge } from "../../../../../client/doctor/cis/judge.ts";
import { cisChecks } from "../../../../../client/doctor/cis/table.ts";
import { GetHardeningResponse, type HardenedFile } from "../../../../../proto/gen/khw/agent/v1/agent.ts";
import { labResults } from "../../../../fixtures/cis/lab.ts";

/** The number of checks in sections 1.1, 1.2, 1.3, 1.4, 2, 3.1 and 3.2 of kube-bench's files. */
const counts: Readonly<Record<Edition, readonly number[]>> = {
  "1.20": [21, 34, 7, 2, 7, 1, 2],
  "1.23": [21, 32, 7, 2, 7, 1, 2],
  "1.24": [21, 31, 7, 2, 7, 1, 2],
  "1.7": [21, 31, 7, 2, 7, 3, 2],
  "1.8": [21, 30, 7, 2, 7, 3, 2],
  "1.9": [21, 29, 7, 2, 7, 3, 2],
  "1.10": [21, 29, 7, 2, 7, 3, 2],
  "1.11": [21, 30, 7, 2, 7, 3, 2],
  "1.12": [21, 30, 7, 2, 7, 3, 2],
  "2.0": [21, 30, 7, 2, 7, 3, 2],
};

/** The numbers of some flags' checks in kube-bench's files, for editions that added or removed earlier checks. */
const numbers: readonly [edition: Edition, flag: string, id: string][] = [
  ["1.20", "kubelet-https", "1.2.3"],
  ["1.20", "insecure-port", "1.2.18"],
  ["1.20", "profiling", "1.2.20"],
  ["1.20", "tls-cipher-suites", "1.2.34"],
  ["1.23", "kubelet-https", "1.2.4"],
  ["1.23", "secure-port", "1.2.17"],
  ["1.23", "audit-log-maxbackup", "1.2.21"],
  ["1.24", "secure-port", "1.2.16"],
  ["1.24", "tls-cipher-suites", "1.2.31"],
  ["1.7", "profiling", "1.2.17"],
  ["1.8", "profiling", "1.2.16"],
  ["1.9", "profiling", "1.2.15"],
  ["1.9", "encryption-provider-config", "1.2.27"],
  ["1.11", "service-account-extend-token-expiration", "1.2.30"],
  ["2.0", "etcd-cafile", "1.2.26"],
];

t.test("each edition has the same checks and numbers as kube-bench", async (t) => {
  for (const edition of editions) {
    const ids = checksIn(edition, cisChecks).map(({ id }) => id);
    const found = Map.groupBy(ids, (id) => id.replace(/\.\d+$/, ""));
    t.strictSame(
      [...found.values()].map(({ length }) => length),
      counts[edition],
      edition,
    );
    t.equal(new Set(ids).size, ids.length);
  }
  for (const [edition, flag, id] of numbers) {
    const check = checksIn(edition, cisChecks).find(
      ({ section, condition }) => section === "1.2" && condition.kind === "flag" && condition.flag === flag,
    );
    t.equal(check?.id, id, `${edition} checks ${flag} as ${id}`);
  }
});

t.test("the edition of the benchmark is derived from the Kubernetes release", async (t) => {
  for (const [release, edition] of [
    ["v1.20.2", "1.20"],
    ["v1.21.0", "1.20"],
    ["v1.22.0", "1.23"],
    ["v1.24.3", "1.24"],
    ["v1.25.0", "1.7"],
    ["v1.28.1", "1.10"],
    ["v1.31.0", "1.11"],
    ["v1.33.2", "1.12"],
    ["v1.34.0", "2.0"],
    ["v1.37.0", "2.0"],
  ] as const) {
    t.equal(editionFor(release), edition, release);
  }
  t.throws(() => editionFor("latest"), { code: "INVALID_ARGUMENT" });
});

t.test("flags are parsed in the same way as the programs parse them", async (t) => {
  const words = [
    "--name",
    "controller-0",
    "--client-cert-auth",
    "--v=2",
    "-auto-tls",
    "--v=3",
    "--a=b=c",
    "x",
    "--last",
  ];
  t.strictSame(Object.fromEntries(parseFlags(words)), {
    name: "controller-0",
    "client-cert-auth": "true",
    v: "3",
    "auto-tls": "true",
    a: "b=c",
    last: "true",
  });
});

function facts(answer: Partial<GetHardeningResponse>) {
  return toEvidence(GetHardeningResponse.fromPartial(answer));
}

function running(...args: readonly string[]) {
  return facts({ components: [{ name: "kube-apiserver", arguments: [...args] }] });
}

function flag(name: string, rule: FlagRule, more: Partial<FlagCondition> = {}): FlagCondition {
  return { kind: "flag", program: "kube-apiserver", flag: name, rule, ...more };
}

function check(condition: CisCheck["condition"], more: Partial<CisCheck> = {}) {
  return { section: "1.2", id: "1.2.1", title: "a fact", condition, ...more } as const;
}

const outcome = (condition: CisCheck["condition"], evidence: ReturnType<typeof facts>, edition: Edition = "1.20") =>
  judge(check(condition), { node: "controller-0", edition, evidence });

const orNotSet = [["1.20", true]] as const;
const rules: readonly [rule: FlagRule, passes: readonly string[], fails: readonly string[]][] = [
  [{ is: "false" }, ["--f=false"], ["--f", "--f=true", "--other=false"]],
  [{ isNot: "false" }, ["--f", "--f=true"], ["--f=false", "--other"]],
  [{ has: "RBAC" }, ["--f=Node,RBAC"], ["--f=Node", "--f=NotRBAC", "--other"]],
  [{ lacks: "AlwaysAllow" }, ["--f=Node"], ["--f=RBAC,AlwaysAllow", "--other"]],
  [{ atLeast: 10 }, ["--f=10", "--f=100"], ["--f=9", "--f=many", "--other"]],
  ["set", ["--f=x"], ["--other"]],
  ["not set", ["--other"], ["--f=x"]],
  [{ onlyFrom: [["1.20", ["A", "B"]]] }, ["--f=A", "--f=B,A"], ["--f=A,C", "--other"]],
];

for (const [rule, passes, fails] of rules) {
  t.test(`the rule ${JSON.stringify(rule)}`, async (t) => {
    for (const word of passes) t.equal(outcome(flag("f", rule), running(word)).outcome, "pass", word);
    for (const word of fails) t.equal(outcome(flag("f", rule), running(word)).outcome, "fail", word);
  });
}

t.test("a check accepts an unset flag only in the editions that allow it", async (t) => {
  const condition = flag("f", { is: "1" }, { orNotSet: [...orNotSet, ["1.24", false], ["1.7", true]] });
  t.equal(outcome(condition, running(), "1.23").outcome, "pass");
  t.equal(outcome(condition, running(), "1.24").outcome, "fail");
  t.equal(outcome(condition, running(), "2.0").outcome, "pass");
});

t.test("a fix is a line for khw.yaml with a value that passes the check", async (t) => {
  const fix = (condition: CisCheck["condition"], ...args: readonly string[]) =>
    outcome(condition, running(...args)).fix;
  const line = (rest: string): string => `khw.yaml: kubernetes: {flags: {kube-apiserver: {${rest}}}}`;
  t.equal(fix(flag("f", { is: "false" })), line("f: false"));
  t.equal(fix(flag("f", { has: "B" }), "--f=A,C"), line('f: "A,C,B"'));
  t.equal(fix(flag("f", { lacks: "B" }), "--f=A,B"), line("f: A"));
  t.equal(fix(flag("f", { lacks: "B" }), "--f=B"), line("f: null"));
  t.equal(fix(flag("f", "not set"), "--f=B"), line("f: null"));
  t.equal(fix(flag("f", { atLeast: 10 }), "--f=3"), line("f: 10"));
  t.match(fix(flag("f", "set")), /remove f from kubernetes\.flags\.kube-apiserver/);
});

t.test("a check must be done manually if a file replaces the flag", async (t) => {
  const condition = flag("authorization-mode", { has: "RBAC" }, { replacedBy: "authorization-config" });
  t.match(outcome(condition, running("--authorization-config=/a.yaml")), { outcome: "manual", evidence: /\/a\.yaml/ });
});

t.test("the flags of a program that is not running are not checked", async (t) => {
  t.match(outcome(flag("f", "set"), facts({})), { outcome: "not run", evidence: "kube-apiserver is not running" });
  t.equal(outcome({ ...flag("f", "set"), program: "etcd" }, facts({})).outcome, "not applicable");
});

function file(path: string, changes: Partial<HardenedFile> = {}): HardenedFile {
  return { path, folder: false, mode: 0o600, owner: "root", group: "root", certificates: [], ...changes };
}

t.test("modes and owners are compared with the benchmark's limits", async (t) => {
  const folder = "/var/lib/kubernetes";
  const mode = { kind: "mode", files: { below: [folder], which: "keys" }, most: [["1.20", 0o600]] } as const;
  const owner = { kind: "owner", files: { below: [folder], which: "all" }, is: "root:root" } as const;
  const files = [
    file(folder, { folder: true, mode: 0o755 }),
    file(`${folder}/ca.pem`, { mode: 0o644 }),
    file(`${folder}/a-key.pem`, { mode: 0o400 }),
    file(`${folder}/b-key.pem`, { mode: 0o640 }),
    file(`${folder}-other/c-key.pem`, { mode: 0o666, owner: "nobody" }),
  ];
  t.match(outcome(mode, facts({ files })), { outcome: "fail", evidence: `${folder}/b-key.pem: mode 640` });
  t.match(outcome(mode, facts({ files: files.slice(0, 3) })), { outcome: "pass" });
  t.match(outcome(mode, facts({ files: files.slice(0, 2) })), { outcome: "not applicable" });
  t.match(outcome(owner, facts({ files })), { outcome: "pass" });
  const foreign = [...files, file(`${folder}/x`, { group: "adm" })];
  t.match(outcome(owner, facts({ files: foreign })), { outcome: "fail", evidence: `${folder}/x: root:adm` });
});

t.test("a reason applies only to the deviation that it explains", async (t) => {
  const files = { paths: ["/unit"] };
  const mode = (most: number) => ({ kind: "mode", files, most: [["1.20", most]] }) as const;
  const reasoned = check(mode(0o600), { fix: "khw-client bootstrap", reason: { why: "public", but: mode(0o644) } });
  const result = (found: number) =>
    judge(reasoned, {
      node: "controller-0",
      edition: "1.24",
      evidence: facts({ files: [file("/unit", { mode: found })] }),
    });
  t.match(result(0o644), { outcome: "fail", reason: "public" });
  t.notOk(result(0o644).fix, "no fix is given for a mode that khw sets on purpose");
  t.match(result(0o666), { outcome: "fail", fix: "khw-client bootstrap" });
  t.notOk(result(0o666).reason);
});

t.test(
  "the profiling check reads the scheduler's configuration file, because the scheduler ignores the flag",
  async (t) => {
    const condition = { kind: "scheduler-profiling" } as const;
    const path = "/etc/kubernetes/config/kube-scheduler.yaml";
    const scheduler = (schedulerProfiling: boolean | undefined, ...args: readonly string[]) =>
      outcome(condition, facts({ components: [{ name: "kube-scheduler", arguments: [...args] }], schedulerProfiling }))
        .outcome;
    t.equal(scheduler(true, `--config=${path}`, "--profiling=false"), "fail");
    t.equal(scheduler(false, `--config=${path}`), "pass");
    t.equal(scheduler(undefined, `--config=${path}`), "manual");
    t.equal(scheduler(false, "--config=/other.yaml"), "manual");
    t.equal(scheduler(undefined, "--profiling=false"), "pass");
    t.equal(scheduler(undefined), "fail");
  },
);

t.test("etcd's CA is compared with the CAs that the API server accepts for clients", async (t) => {
  const [etcd, clients] = ["/etc/etcd/ca.pem", "/var/lib/kubernetes/ca-bundle.pem"];
  const trust = (certificates: readonly string[], of: readonly string[]) =>
    outcome(
      { kind: "own-etcd-ca" },
      facts({
        components: [
          { name: "etcd", arguments: [`--trusted-ca-file=${etcd}`] },
          { name: "kube-apiserver", arguments: [`--client-ca-file=${clients}`] },
        ],
        files: [file(etcd, { certificates: [...certificates] }), file(clients, { certificates: [...of] })],
      }),
    ).outcome;
  t.equal(trust(["aa"], ["bb", "aa"]), "fail", "a bundle that contains etcd's CA fails the check");
  t.equal(trust(["aa"], ["bb"]), "pass");
  t.equal(trust([], ["bb"]), "manual");
});

t.test("the encryption check passes only if the first provider encrypts", async (t) => {
  const condition = { kind: "encryption", providers: ["aescbc", "secretbox"] } as const;
  const config = "--encryption-provider-config=/var/lib/kubernetes/encryption-config.yaml";
  const encrypts = (encryptionProviders: string[], ...args: readonly string[]) =>
    outcome(condition, facts({ components: [{ name: "kube-apiserver", arguments: [...args] }], encryptionProviders }))
      .outcome;
  t.equal(encrypts(["secretbox"], config), "pass");
  t.equal(encrypts(["secretbox", "identity"], config), "fail");
  t.equal(encrypts(["secretbox"]), "fail");
  t.equal(encrypts([], config), "manual");
  t.equal(encrypts(["secretbox"], "--encryption-provider-config=/other.yaml"), "manual");
});

t.test("the lab's files fail exactly the expected checks", async (t) => {
  const results = await labResults();
  const failing = results.filter((result) => result.outcome === "fail");
  t.strictSame(
    failing.filter(({ reason }) => reason !== undefined).map(({ id }) => id),
    ["1.1.12", "1.2.1", "1.2.11", "1.2.12", "1.2.15", "1.3.1", "2.7"],
  );
  t.strictSame(
    failing.filter(({ reason }) => reason === undefined).map(({ id }) => id),
    ["1.2.9", "1.2.18", "1.2.20", "1.2.23", "1.2.34", "1.3.2", "1.3.7", "1.4.1", "3.2.1"],
  );
  t.strictSame(
    results.filter(({ outcome: found }) => found === "not run"),
    [],
  );
  for (const edition of editions.filter((one) => isFrom(one, "1.24"))) {
    const units = (await labResults(edition)).filter(({ id }) => /^1\.1\.[1357]$/.test(id));
    t.ok(
      units.every(({ outcome: found, reason }) => found === "fail" && reason !== undefined),
      `${edition} requires mode 600, so the lab's unit files fail the check, but with a reason`,
    );
  }
});

t.test("if the production profile has a suitable setting, the fix is to use this setting", async (t) => {
  const fixes = new Map((await labResults()).map(({ id, fix }) => [id, fix]));
  t.equal(fixes.get("1.2.20"), "khw.yaml: hardening: {profilingOff: true}");
  t.equal(fixes.get("1.2.23"), "khw.yaml: hardening: {auditRetention: true}");
  t.equal(fixes.get("1.4.1"), "khw.yaml: hardening: {profilingOff: true}");
  t.equal(fixes.get("3.2.1"), "khw.yaml: audit: {policy: metadata}");
  t.match(
    fixes.get("1.3.1"),
    /^khw\.yaml: kubernetes: \{flags/,
    "a failed check with a reason still shows the optional fix",
  );
  t.equal(fixes.get("1.2.1"), undefined);
});
