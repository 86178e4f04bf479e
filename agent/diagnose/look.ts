import { X509Certificate } from "node:crypto";
import { dirname } from "node:path";
import type { Os } from "../os/os.ts";
import { unitFolder } from "../paths.ts";
import type { CertificateFacts, EtcdAnswer, Evidence } from "./evidence.ts";

/** A program that ends by klog.Fatal prints the stacks of all its goroutines after the line that tells: thousands of lines. */
const journalLines = 20_000;
const etcdMillis = 3_000;
/** A disk with less is full: nothing of use can be written. */
const fullBytes = 256 * 1024;

/** Gathers what a diagnosis goes by: always the journal and the unit's flags, and of the machine what the journal makes worth a look. */
export async function look(component: string, unit: string, os: Os): Promise<Evidence> {
  const [starts, flags] = await Promise.all([os.systemd.starts(unit, journalLines), readFlags(unit, os)]);
  const lines = starts.flat();
  const port = last(lines, /(?:listen tcp\d? \S*:|bind\(\) to \S*:)(\d+)(?:: bind| failed).*address already in use/i);
  const etcd = component === "kube-apiserver" && lines.some((line) => line.includes("context deadline exceeded"));
  const [listener, etcdCertificate, answers, full] = await Promise.all([
    port === undefined ? undefined : os.probes.listener(Number(port)),
    etcd ? readEtcdCertificate(flags, os) : undefined,
    etcd ? askEtcd(flags, os) : undefined,
    fullFolder(flags, os),
  ]);
  return {
    component,
    unit,
    starts,
    flags,
    listener: listener && `${listener.name} (pid ${listener.pid})`,
    etcdCertificate,
    etcd: answers,
    full,
  };
}

function last(lines: readonly string[], pattern: RegExp): string | undefined {
  const line = lines.findLast((line) => pattern.test(line));
  return line === undefined ? undefined : pattern.exec(line)?.[1];
}

/** The flags in the unit's file, as khw writes them: one a line, bare or in single quotes. */
async function readFlags(unit: string, { files }: Os): Promise<ReadonlyMap<string, string>> {
  const text = (await files.read(`${unitFolder}/${unit}`))?.toString("utf8") ?? "";
  const flags = text.matchAll(/\s--?(?<name>[a-z][\w-]*)(?:=|[ \t]+)(?:'(?<quoted>[^'\n]*)'|(?<bare>[^\s'\\]+))/g);
  return new Map([...flags].map(({ groups = {} }) => [groups["name"] ?? "", groups["quoted"] ?? groups["bare"] ?? ""]));
}

async function readEtcdCertificate(flags: ReadonlyMap<string, string>, os: Os): Promise<CertificateFacts | undefined> {
  const path = flags.get("etcd-certfile");
  const certificate = await readCertificate(path, os);
  const ca = await readCertificate(flags.get("etcd-cafile"), os);
  if (path === undefined || certificate === undefined) return undefined;
  const until = new Date(certificate.validTo);
  return {
    path,
    ended: until.getTime() < os.clock.now() ? until.toISOString().slice(0, 10) : undefined,
    foreign: ca !== undefined && !certificate.verify(ca.publicKey),
  };
}

/** Undefined when there is none, or none that can be read: the program's own words tell of that. */
async function readCertificate(path: string | undefined, { files }: Os): Promise<X509Certificate | undefined> {
  const pem = path === undefined ? undefined : await files.read(path);
  if (pem === undefined) return undefined;
  try {
    return new X509Certificate(pem);
  } catch {
    return undefined;
  }
}

async function askEtcd(flags: ReadonlyMap<string, string>, { files, probes }: Os): Promise<EtcdAnswer[]> {
  const read = async (flag: string): Promise<string | undefined> => {
    const path = flags.get(flag);
    return path === undefined ? undefined : (await files.read(path))?.toString("utf8");
  };
  const [certPem, keyPem] = await Promise.all([read("etcd-certfile"), read("etcd-keyfile")]);
  const servers = (flags.get("etcd-servers") ?? "").split(",").filter((server) => URL.canParse(server));
  return Promise.all(
    servers.map(async (server) => {
      const credentials = certPem === undefined || keyPem === undefined ? {} : { certPem, keyPem };
      const signal = AbortSignal.timeout(2 * etcdMillis);
      const { status, body } = await probes.http(`${server}/health`, {
        signal,
        timeoutMillis: etcdMillis,
        ...credentials,
      });
      return { server, status, body: body.slice(0, 200) };
    }),
  );
}

/** The first folder that the component writes to whose disk is full. */
async function fullFolder(flags: ReadonlyMap<string, string>, { files }: Os): Promise<string | undefined> {
  const log = flags.get("audit-log-path");
  const folders = [flags.get("data-dir"), flags.get("cert-dir"), log && dirname(log), "/var/log", "/tmp"];
  for (const folder of folders) {
    if (folder !== undefined && (await files.available(folder)) < fullBytes) return folder;
  }
  return undefined;
}
