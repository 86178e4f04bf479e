import type { X509Certificate } from "node:crypto";
import { certificateNames, subjects, workerSubject } from "../subjects.ts";
import { subjectOf } from "../../../proto/subject.ts";
import { certificateIn, keyIn, type Pem, subjectIs, type Trust, usable, validFor } from "./certificate.ts";
import { type Cluster, servingNames } from "./check.ts";
import { clientIn } from "./client.ts";
import { readCertificates } from "./pem.ts";
import type { Findings } from "./problem.ts";
import { createFieldsReader } from "./x509-fields.ts";

/** The contents of all files in a folder that may be credentials, by file name. */
export type Folder = ReadonlyMap<string, Uint8Array>;

/** The certificates that are already checked as part of the lab's nine files. */
const lookedAt: ReadonlySet<string> = new Set(["kubernetes", "service-account"]);
const prefix = "system:node:";

/** Checks the files that only administrators and workers need, by the same rules as the lab's nine files. */
export function* checkOthers(folder: Folder, cluster: Cluster, now: Date): Findings {
  const authorities = readCertificates(folder.get("ca.pem") ?? Buffer.of());
  const trust: Trust = { authorities, now, fieldsOf: createFieldsReader() };
  const pem = (file: string): Pem | undefined => {
    const content = folder.get(file);
    return content === undefined ? undefined : { file, content };
  };

  const frontProxyKey = pem("front-proxy-ca-key.pem");
  const [frontProxy] = readCertificates(folder.get("front-proxy-ca.pem") ?? Buffer.of());
  if (frontProxyKey !== undefined) yield* keyIn(frontProxyKey, frontProxy, "front-proxy-ca.pem");

  const etcdKey = pem("etcd-ca-key.pem");
  const [etcd] = readCertificates(folder.get("etcd-ca.pem") ?? Buffer.of());
  if (etcdKey !== undefined) yield* keyIn(etcdKey, etcd, "etcd-ca.pem");

  const [server] = readCertificates(folder.get("kubernetes.pem") ?? Buffer.of());
  const context = { trust, server, names: servingNames(cluster) };
  for (const name of [...certificateNames.filter((candidate) => !lookedAt.has(candidate)), ...workersIn(folder)]) {
    const lab = certificateNames.find((candidate) => candidate === name);
    const subject = lab === undefined ? workerSubject(name) : subjects[lab];
    const file = pem(`${name}.pem`);
    const certificate = file === undefined ? undefined : yield* certificateIn(file, trust);
    if (file !== undefined && certificate !== undefined) {
      const usages = lab === undefined ? (["serverAuth", "clientAuth"] as const) : (["clientAuth"] as const);
      yield* subjectIs(file, certificate.certificate, subject);
      yield* usable(file, certificate, { usages, roots: authorities });
      if (lab === undefined) yield* validFor(file, certificate.certificate, [{ name, whose: "the kubelet" }]);
    }
    const key = pem(`${name}-key.pem`);
    if (key !== undefined) yield* keyIn(key, certificate?.certificate, `${name}.pem`);
    if (lab !== undefined && lab !== "kube-proxy") continue;
    const kubeconfig = `${name}.kubeconfig`;
    yield* clientIn(kubeconfig, folder.get(kubeconfig), { ...context, subject });
  }
}

/** Returns the workers for which the folder contains a certificate with a kubelet's Common Name. */
function workersIn(folder: Folder): string[] {
  return [...folder.keys()].flatMap((file) => {
    const [certificate] = file.endsWith(".pem") ? readCertificates(folder.get(file) ?? Buffer.of()) : [];
    return certificate !== undefined && isNode(certificate) ? [file.slice(0, -".pem".length)] : [];
  });
}

function isNode(certificate: X509Certificate): boolean {
  return subjectOf(certificate)["CN"]?.at(-1)?.startsWith(prefix) === true;
}
