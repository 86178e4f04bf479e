import { type Component, components } from "../../proto/components.ts";
import { type DesiredState, hasEtcd } from "../../proto/desired.ts";
import { KhwError } from "../../proto/errors.ts";
import { show } from "../../proto/validate.ts";
import type { Files } from "../os/files.ts";
import type { Os } from "../os/os.ts";
import { etcdReleaseFolder, installedProgram, releasedProgram, unitFile } from "../paths.ts";
import { etcdCommand, renderEtcd } from "../render/etcd.ts";
import { componentCommand, render } from "../render/components.ts";
import { deprecations, type Refused, refusedArgument } from "./output.ts";
import { trySchedulerConfig } from "./scheduler-config.ts";

/** The results of trial runs. */
export interface TrialFindings {
  /** Errors for flags, feature gates and configuration files that a program does not accept. */
  readonly findings: readonly KhwError[];
  /** Warnings about deprecated flags and feature gates, in the wording of the programs. */
  readonly warnings: readonly KhwError[];
}

/** A program that has been downloaded but not started yet. */
interface Candidate {
  readonly name: Component | "etcd";
  readonly version: string;
  /** The path of the downloaded program. */
  readonly program: string;
  readonly flags: readonly string[];
}

/**
 * Lets each downloaded program parse its command line before the program replaces the installed version. Skips programs
 * that are not downloaded, and programs whose desired release and desired unit are already installed.
 */
export async function tryPrograms(desired: DesiredState, os: Os, signal: AbortSignal): Promise<TrialFindings> {
  const candidates = await changedPrograms(desired, os);
  const tried: TrialFindings[] = [];
  // The programs run one after the other, because each program keeps a CPU busy for about a second.
  for (const candidate of candidates) tried.push(await tryProgram(candidate, desired, { os, signal }));
  return {
    findings: tried.flatMap(({ findings }) => findings),
    warnings: tried.flatMap(({ warnings }) => warnings),
  };
}

async function changedPrograms(desired: DesiredState, { files }: Os): Promise<Candidate[]> {
  const version = desired.kubernetesVersion;
  const kubernetes = components.map((name) => ({
    name,
    version,
    program: releasedProgram(version, name),
    flags: componentCommand(name, desired).slice(1),
    unit: render[name](desired),
  }));
  const etcd = hasEtcd(desired)
    ? [
        {
          name: "etcd" as const,
          version: desired.etcd.version,
          program: `${etcdReleaseFolder(desired.etcd.version)}/etcd`,
          flags: etcdCommand(desired).slice(1),
          unit: renderEtcd(desired),
        },
      ]
    : [];
  const all = await Promise.all(
    [...etcd, ...kubernetes].map(async ({ unit, ...candidate }) =>
      (await isChanged({ ...candidate, unit }, files)) ? [candidate] : [],
    ),
  );
  return all.flat();
}

async function isChanged(
  { name, program, unit }: Candidate & { readonly unit: string },
  files: Pick<Files, "read" | "stat">,
): Promise<boolean> {
  const [released, installed, current] = await Promise.all([
    files.stat(program),
    files.stat(installedProgram(name)),
    files.read(unitFile(`${name}.service`)),
  ]);
  if (released === undefined) return false;
  const same = installed?.inode === released.inode && installed.device === released.device;
  return !same || current?.toString("utf8") !== unit;
}

interface TryOptions {
  readonly os: Pick<Os, "trials" | "identity">;
  readonly signal: AbortSignal;
}

/**
 * The maximum number of runs. A program reports one refused argument at a time, so it is run again without that
 * argument.
 */
const mostRefusals = 20;

async function tryProgram(
  candidate: Candidate,
  desired: DesiredState,
  { os, signal }: TryOptions,
): Promise<TrialFindings> {
  const { name, version, program } = candidate;
  const at = { node: os.identity.name, step: name };
  const findings: KhwError[] = [];
  let flags = candidate.flags;
  for (let refusals = 0; refusals < mostRefusals; refusals++) {
    const { code, lines } = await os.trials.run([program, ...flags, "--version"], { signal });
    if (code === 0) {
      const warnings = deprecations(lines).map((text) => new KhwError("PREFLIGHT_FAILED", `${version}: ${text}`, at));
      if (name === "kube-scheduler") {
        findings.push(
          ...(await trySchedulerConfig(program, desired, { trials: os.trials, signal })).map((e) => e.at(at)),
        );
      }
      return { findings, warnings };
    }
    const refused = refusedArgument(lines);
    const rest = refused === undefined ? flags : without(flags, refused);
    if (refused === undefined || (rest.length === flags.length && rest.join() === flags.join())) {
      return { findings: [...findings, unexplained(candidate, code, lines).at(at)], warnings: [] };
    }
    findings.push(toFinding(candidate, desired, refused).at(at));
    flags = rest;
  }
  return { findings, warnings: [] };
}

/** Returns the flags without the refused flag or feature gate. */
function without(flags: readonly string[], refused: Refused): readonly string[] {
  return flags.flatMap((text) => {
    const [name, ...values] = text.replace(/^--?/, "").split("=");
    if (name !== refused.flag) return [text];
    if (refused.kind === "flag") return [];
    const gates = values
      .join("=")
      .split(",")
      .filter((gate) => gate.split("=")[0]?.trim() !== refused.gate);
    return gates.length === 0 ? [] : [`--${name}=${gates.join(",")}`];
  });
}

function toFinding({ name, version }: Candidate, desired: DesiredState, refused: Refused): KhwError {
  const { flag, reason } = refused;
  const what = refused.kind === "gate" ? `the feature gate ${refused.gate} of --${flag}` : `--${flag}`;
  const message = `${name} ${version} does not accept ${what}: ${reason}`;
  if (name === "etcd") return new KhwError("PREFLIGHT_FAILED", message, { hint: "choose another etcd.version" });
  const key = `kubernetes.flags.${name}.${flag}`;
  const isOwn = desired.flags[name]?.set[flag] !== undefined;
  const hint = isOwn
    ? `change or remove ${key} in khw.yaml; if a profile sets the flag, set ${key} to null`
    : `set ${key} to null in khw.yaml, because this release no longer has this flag, which khw sets by default`;
  return new KhwError("PREFLIGHT_FAILED", message, { hint });
}

function unexplained({ name, version }: Candidate, code: number, lines: readonly string[]): KhwError {
  const said = lines.find((line) => /error|fatal|panic|fail/i.test(line)) ?? lines.at(-1) ?? "it printed nothing";
  return new KhwError(
    "PREFLIGHT_FAILED",
    `${name} ${version} exits with ${code} when run with --version: ${show(said)}`,
    {
      hint: "the program cannot run on this machine; check the release, its architecture and its mirror",
    },
  );
}
