import { X509Certificate } from "node:crypto";
import type { Os } from "../os/os.ts";
import type { CertificateFacts, EtcdAnswer } from "./evidence.ts";
import { utcDay } from "../../proto/time.ts";

const etcdMillis = 3_000;

/**
 * Reads the client certificate for etcd that is set in the API server's flags. Returns undefined if the certificate
 * cannot be read.
 */
export async function readEtcdCertificate(
  flags: ReadonlyMap<string, string>,
  os: Os,
): Promise<CertificateFacts | undefined> {
  const path = flags.get("etcd-certfile");
  const certificate = await readCertificate(path, os);
  const ca = await readCertificate(flags.get("etcd-cafile"), os);
  if (path === undefined || certificate === undefined) return undefined;
  const until = new Date(certificate.validTo);
  return {
    path,
    ended: until.getTime() < os.clock.now() ? utcDay(until) : undefined,
    foreign: ca !== undefined && !certificate.verify(ca.publicKey),
  };
}

/** Returns undefined if the file is missing or unreadable; the program's own messages report such a file. */
async function readCertificate(path: string | undefined, { files }: Os): Promise<X509Certificate | undefined> {
  const pem = path === undefined ? undefined : await files.read(path);
  if (pem === undefined) return undefined;
  try {
    return new X509Certificate(pem);
  } catch {
    return undefined;
  }
}

/** Queries the health of each etcd server in the API server's flags, using the API server's client certificate. */
export async function askEtcd(flags: ReadonlyMap<string, string>, { files, probes }: Os): Promise<EtcdAnswer[]> {
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
