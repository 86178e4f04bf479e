import { KhwError } from "../../proto/errors.ts";
import { etcdPorts } from "../../proto/etcd.ts";
import type { CertificateVerdict, TryCertificateRequest } from "../../proto/gen/khw/agent/v1/agent.ts";
import type { Os } from "../os/os.ts";
import type { ProbeResult } from "../os/probes.ts";

const timeoutMillis = 10_000;
const unauthorized = 401;

interface Server {
  readonly name: string;
  readonly url: string;
}

/**
 * Calls the machine's own servers with a client certificate, and returns which of them accept the certificate.
 * @throws KhwError NOT_READY if a server gives no evidence, for example because the server is not running
 */
export async function tryCertificate(
  { probes, identity }: Pick<Os, "probes" | "identity">,
  { ca, certificate, key }: TryCertificateRequest,
  { managesEtcd, signal }: { readonly managesEtcd: boolean; readonly signal: AbortSignal },
): Promise<CertificateVerdict[]> {
  const text = (pem: Uint8Array): string => Buffer.from(pem).toString("utf8");
  const identityPem = { caPem: text(ca), certPem: text(certificate), keyPem: text(key) };
  const options = { signal, timeoutMillis, ...identityPem };
  const peer = `https://${identity.internalIp}:${etcdPorts.peer}/version`;
  const servers: Server[] = [
    // Every authenticated user may read this path.
    { name: "kube-apiserver", url: "https://127.0.0.1:6443/api" },
    ...(managesEtcd
      ? [
          { name: "etcd", url: `https://127.0.0.1:${etcdPorts.client}/health` },
          { name: "etcd-peer", url: peer },
        ]
      : []),
  ];
  return Promise.all(
    servers.map(async ({ name, url }) => {
      const accepted = isAccepted(await probes.http(url, options), name);
      return { server: name, accepted };
    }),
  );
}

/** The API server completes the handshake and answers 401. etcd ends the connection during the handshake. */
function isAccepted({ status, body, failure }: ProbeResult, name: string): boolean {
  if (status > 0) return status !== unauthorized;
  if (name !== "kube-apiserver" && (failure === "rejected" || failure === "closed")) return false;
  throw new KhwError("NOT_READY", `${name} does not show whether it accepts the certificate: ${body}`, {
    hint: "check with `khw-client status` that the node is healthy, then run the command again",
  });
}
