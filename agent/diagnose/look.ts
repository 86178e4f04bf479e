import { dirname } from "node:path";
import type { Os } from "../os/os.ts";
import { askEtcd, readEtcdCertificate } from "./etcd-facts.ts";
import type { Evidence } from "./evidence.ts";
import { blamesKms, readKms } from "./kms-facts.ts";
import { programFacts } from "./program.ts";
import { readFlags } from "./flags.ts";

/**
 * How many journal lines to read. After the decisive line, klog.Fatal prints the stack traces of all goroutines, which
 * can be thousands of lines.
 */
const journalLines = 20_000;
/** A disk with less free space than this counts as full, because nothing useful can be written to it. */
const fullBytes = 256 * 1024;

/**
 * Collects the evidence for a diagnosis: the journal, the unit's flags and full disks. Other facts about the machine
 * are collected only if the journal suggests that they matter.
 */
export async function look(component: string, unit: string, os: Os): Promise<Evidence> {
  const [read, ending, flags] = await Promise.all([
    os.systemd.starts(unit, journalLines),
    os.systemd.ending(unit),
    readFlags(unit, os),
  ]);
  const starts = withEnding(read, ending);
  const lines = starts.flat();
  const port = last(lines, /(?:listen tcp\d? \S*:|bind\(\) to \S*:)(\d+)(?:: bind| failed).*address already in use/i);
  const etcd = component === "kube-apiserver" && lines.some((line) => line.includes("context deadline exceeded"));
  const refused = last(lines, /(?:to execute|to locate executable|step EXEC spawning) '?([^\s':]+)'?: /);
  const [listener, etcdCertificate, answers, kms, full, program] = await Promise.all([
    port === undefined ? undefined : os.probes.listeners([Number(port)]).then((found) => found.get(Number(port))),
    etcd ? readEtcdCertificate(flags, os) : undefined,
    etcd ? askEtcd(flags, os) : undefined,
    lines.some((line) => blamesKms.test(line)) ? readKms(flags, os) : undefined,
    fullFolder(flags, os),
    refused === undefined ? undefined : programFacts(refused, os),
  ]);
  return {
    component,
    unit,
    starts,
    flags,
    listener: listener && `${listener.name} (pid ${listener.pid})`,
    etcdCertificate,
    etcd: answers,
    kms,
    full,
    program,
  };
}

/** Adds the lines about how the most recent process exited, if the journal lacks them. */
function withEnding(starts: readonly (readonly string[])[], ending: readonly string[]) {
  const newest = starts.at(-1) ?? [];
  const missed = ending.filter((line) => !newest.some((known) => kindOfEnd(known) === kindOfEnd(line)));
  return missed.length === 0 ? starts : [...starts.slice(0, -1), [...newest, ...missed]];
}

function kindOfEnd(line: string): string | undefined {
  return /Main process exited|Failed with result/.exec(line)?.[0];
}

function last(lines: readonly string[], pattern: RegExp): string | undefined {
  const line = lines.findLast((line) => pattern.test(line));
  return line === undefined ? undefined : pattern.exec(line)?.[1];
}

/** Returns the first folder on a full disk to which the component writes. */
async function fullFolder(flags: ReadonlyMap<string, string>, { files }: Os): Promise<string | undefined> {
  const log = flags.get("audit-log-path");
  const folders = [flags.get("data-dir"), flags.get("cert-dir"), log && dirname(log), "/var/log", "/tmp"];
  for (const folder of folders) {
    if (folder !== undefined && (await files.available(folder)) < fullBytes) return folder;
  }
  return undefined;
}
