import type { NumberedCheck } from "./check.ts";
import type { CheckedProgram, Condition } from "./condition.ts";
import { type Edition, valueIn } from "./edition.ts";
import { type Evidence, flagOf } from "./evidence.ts";
import { judgeModes, judgeOwners } from "./judge-files.ts";
import { judgeFlag } from "./judge-flag.ts";
import type { CisResult, Judgement } from "./result.ts";
import { settingLine } from "./setting-fix.ts";

export interface JudgeOptions {
  readonly node: string;
  readonly edition: Edition;
  readonly evidence: Evidence;
}

/**
 * Returns the result of a check on a machine. A check that khw intentionally fails has a fix only if the fix is
 * optional.
 */
export function judge(check: NumberedCheck, { node, edition, evidence }: JudgeOptions): CisResult {
  const { id, title, condition, fix, reason } = check;
  const passes = (one: Condition): boolean => judgeCondition(one, evidence, edition).outcome === "pass";
  const { fix: derived, ...found } = missing(condition, evidence) ?? judgeCondition(condition, evidence, edition);
  const result = { id, title, node, ...found };
  if (found.outcome !== "fail") return result;
  const applies = reason !== undefined && (reason.but === undefined || passes(reason.but));
  const remedy = applies && reason.optional !== true ? undefined : (fix ?? derived);
  return { ...result, ...(applies && { reason: reason.why }), ...(remedy !== undefined && { fix: remedy }) };
}

function judgeCondition(condition: Condition, evidence: Evidence, edition: Edition): Judgement {
  switch (condition.kind) {
    case "flag":
      return judgeFlag(condition, evidence, edition);
    case "all":
    case "any":
      return combine(
        condition.kind,
        condition.of.map((one) => judgeFlag(one, evidence, edition)),
      );
    case "mode":
      return judgeModes(condition.files, valueIn(condition.most, edition) ?? 0, evidence);
    case "owner":
      return judgeOwners(condition.files, condition.is, evidence);
    case "encryption":
      return judgeEncryption(condition.providers, evidence);
    case "scheduler-profiling":
      return judgeSchedulerProfiling(evidence, edition);
    case "own-etcd-ca":
      return judgeEtcdCa(evidence);
    case "manual":
      return { outcome: "manual", evidence: condition.about };
  }
}

/** Returns a result if the condition concerns a program that is not running; otherwise undefined. */
function missing(condition: Condition, { flags }: Evidence): Judgement | undefined {
  const gone = programsOf(condition).find((program) => !flags.has(program));
  if (gone === undefined) return undefined;
  if (gone === "etcd") return { outcome: "not applicable", evidence: "etcd does not run on this machine" };
  return { outcome: "not run", evidence: `${gone} is not running` };
}

function programsOf(condition: Condition): readonly CheckedProgram[] {
  switch (condition.kind) {
    case "flag":
      return [condition.program];
    case "all":
    case "any":
      return condition.of.map(({ program }) => program);
    case "scheduler-profiling":
      return ["kube-scheduler"];
    case "encryption":
      return ["kube-apiserver"];
    case "own-etcd-ca":
      return ["etcd", "kube-apiserver"];
    case "mode":
    case "owner":
    case "manual":
      return [];
  }
}

/** Combines the results for several flags. The fix comes from the first flag that fails. */
function combine(kind: "all" | "any", parts: readonly Judgement[]): Judgement {
  const evidence = [...new Set(parts.map((part) => part.evidence))].join("; ");
  const passed = parts.filter(({ outcome }) => outcome === "pass").length;
  if (kind === "all" ? passed === parts.length : passed > 0) return { outcome: "pass", evidence };
  const fix = parts.find(({ outcome }) => outcome === "fail")?.fix;
  return { outcome: "fail", evidence, ...(fix !== undefined && { fix }) };
}

const profilingFix = settingLine("hardening.profilingOff", "true");

/** The agent reports settings only from these files. */
const encryptionFile = "/var/lib/kubernetes/encryption-config.yaml";
const schedulerFile = "/etc/kubernetes/config/kube-scheduler.yaml";

function judgeEncryption(providers: readonly string[], evidence: Evidence): Judgement {
  const { encryptionProviders: found } = evidence;
  const file = flagOf(evidence, "kube-apiserver", "encryption-provider-config");
  if (file === undefined) return { outcome: "fail", evidence: "--encryption-provider-config is not set" };
  if (file !== encryptionFile || found.length === 0) {
    return { outcome: "manual", evidence: `look for the first provider in ${file}` };
  }
  const outcome = found.every((provider) => providers.includes(provider)) ? "pass" : "fail";
  return { outcome, evidence: `the first provider is ${[...new Set(found)].join(", ")}` };
}

/** A scheduler with a configuration file ignores --profiling. For that scheduler, only the file is judged. */
function judgeSchedulerProfiling(evidence: Evidence, edition: Edition): Judgement {
  const config = flagOf(evidence, "kube-scheduler", "config");
  if (config === undefined) {
    const condition = { kind: "flag", program: "kube-scheduler", flag: "profiling", rule: { is: "false" } } as const;
    return judgeFlag(condition, evidence, edition);
  }
  const { schedulerProfiling } = evidence;
  if (schedulerProfiling === undefined || config !== schedulerFile)
    return { outcome: "manual", evidence: `look for enableProfiling in ${config}` };
  if (!schedulerProfiling) return { outcome: "pass", evidence: `enableProfiling: false in ${config}` };
  return { outcome: "fail", evidence: `enableProfiling is not false in ${config}`, fix: profilingFix };
}

/** Compares certificates instead of paths, because the same CA can be in several files. */
function judgeEtcdCa(evidence: Evidence): Judgement {
  const etcdFile = flagOf(evidence, "etcd", "trusted-ca-file");
  if (etcdFile === undefined) return { outcome: "fail", evidence: "--trusted-ca-file is not set" };
  const clientFile = flagOf(evidence, "kube-apiserver", "client-ca-file");
  const certificatesIn = (path: string | undefined): readonly string[] =>
    evidence.files.find((file) => file.path === path)?.certificates ?? [];
  const [etcd, clients] = [certificatesIn(etcdFile), certificatesIn(clientFile)];
  if (etcd.length === 0 || clients.length === 0) {
    return { outcome: "manual", evidence: `compare the CAs in ${etcdFile} and ${clientFile ?? "no file"}` };
  }
  const shared = etcd.some((certificate) => clients.includes(certificate));
  const word = shared ? "contain the same CA" : "contain different CAs";
  return { outcome: shared ? "fail" : "pass", evidence: `${etcdFile} and ${clientFile} ${word}` };
}
