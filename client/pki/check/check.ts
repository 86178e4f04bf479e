import type { X509Certificate } from "node:crypto";
import type { CredentialName } from "../../../proto/components.ts";
import type { Controller } from "../../../proto/desired.ts";
import { serviceAddress } from "../../../proto/networks.ts";
import {
  authoritiesIn,
  certificateIn,
  endsAtRoots,
  keyIn,
  type Pem,
  type Presented,
  problem,
  subjectIs,
  type Trust,
  usable,
  validFor,
  type WantedName,
} from "./certificate.ts";
import type { Kms } from "../kms.ts";
import { encryptionConfigIsSound } from "./encryption-config.ts";
import { etcdCaIsSound } from "./etcd-ca.ts";
import { frontProxyIsSound } from "./front-proxy.ts";
import { clientIn } from "./client.ts";
import type { Kubeconfig, NamedFiles } from "./kubeconfig.ts";
import { isPair, publicKeysIn } from "./pem.ts";
import { createFieldsReader } from "./x509-fields.ts";
import type { RotatedCa } from "../rotation-folder.ts";
import { keyProblem } from "./key-kinds.ts";
import type { Findings } from "./problem.ts";

/** The files that could be read. All other files have already been reported as problems. */
export type CredentialFiles = ReadonlyMap<CredentialName | "admin.kubeconfig", Uint8Array>;

/** The cluster that the credentials are for. */
export interface Cluster {
  readonly controllers: readonly Controller[];
  /** If undefined, the address is unknown and is not checked. */
  readonly publicAddress: string | undefined;
  readonly serviceCidr: string;
  readonly kubernetesVersion: string;
  /** The KMS plugin in khw.yaml. */
  readonly kms?: Kms | undefined;
}

/** nginx's default for proxy_ssl_verify_depth, which the nginx configuration that the agent writes does not change. */
const mostIntermediates = 1;

export interface CheckContext {
  readonly now: Date;
  /** The files that the administrator's kubeconfig refers to. These files stay on this workstation. */
  readonly named?: NamedFiles;
  /** The CAs that are being replaced. Default: no CA. */
  readonly rotating?: readonly RotatedCa[];
}

/** The name that nginx requires in the API server's certificate; see the nginx configuration for the health check. */
const healthCheckName = "kubernetes.default.svc";

/**
 * Reports every fault in the files that would keep the cluster from working. Returns the admin's kubeconfig if it can
 * be read.
 */
export function* checkCredentials(
  files: CredentialFiles,
  cluster: Cluster,
  { now, named, rotating = [] }: CheckContext,
): Findings<Kubeconfig | undefined> {
  const pem = (file: CredentialName): Pem | undefined => {
    const content = files.get(file);
    return content === undefined ? undefined : { file, content };
  };
  const ca = pem("ca.pem");
  const reading = { now, fieldsOf: createFieldsReader() };
  const authorities = ca === undefined ? [] : yield* authoritiesIn(ca, reading);
  if (ca !== undefined) yield* endsAtRoots(ca, authorities);
  const trust: Trust = { ...reading, authorities };
  const caKey = pem("ca-key.pem");
  if (caKey !== undefined) yield* keyIn(caKey, authorities[0], "ca.pem");
  const signing = pem("signing-ca.pem");
  if (signing === undefined && ca !== undefined) yield* signsAlone(ca, authorities.length);
  const rotates = rotating.includes("signing-ca");
  const signers = yield* signingAuthority(signing, pem("signing-ca-key.pem"), { ...reading, rotates });

  const others = [...authorities, ...signers];
  yield* frontProxyIsSound(pem, { ...reading, others });
  yield* etcdCaIsSound(pem, { ...reading, others, names: memberNames(cluster), rotates: rotating.includes("etcd-ca") });

  const serving = pem("kubernetes.pem");
  const server = serving === undefined ? undefined : yield* certificateIn(serving, trust);
  const names = servingNames(cluster);
  if (serving !== undefined && server !== undefined) yield* canServe(serving, server, { names, roots: authorities });
  const servingKey = pem("kubernetes-key.pem");
  if (servingKey !== undefined) yield* keyIn(servingKey, server?.certificate, "kubernetes.pem");

  yield* serviceAccountPair(pem("service-account.pem"), pem("service-account-key.pem"));
  const encryption = files.get("encryption-config.yaml");
  if (encryption !== undefined) yield* encryptionConfigIsSound("encryption-config.yaml", encryption, cluster);

  const context = { trust, server: server?.certificate, names };
  for (const component of ["kube-controller-manager", "kube-scheduler"] as const) {
    const file = `${component}.kubeconfig` as const;
    yield* clientIn(file, files.get(file), { ...context, subject: { CN: `system:${component}` } });
  }
  const admin = { ...context, subject: { O: "system:masters" }, ...(named === undefined ? {} : { named }) };
  return yield* clientIn("admin.kubeconfig", files.get("admin.kubeconfig"), admin);
}

/** Checks the signing CA, which signs the certificates that Kubernetes issues, if the cluster has a signing CA. */
function* signingAuthority(
  certificate: Pem | undefined,
  key: Pem | undefined,
  { rotates, ...reading }: Pick<Trust, "now" | "fieldsOf"> & { readonly rotates: boolean },
): Findings<readonly X509Certificate[]> {
  const authorities = certificate === undefined ? [] : yield* authoritiesIn(certificate, reading);
  // During a rotation, the nodes get only the first certificate, which is used for signing.
  if (certificate !== undefined && !rotates) yield* signsAlone(certificate, authorities.length);
  if (key !== undefined) yield* keyIn(key, authorities[0], "signing-ca.pem");
  return authorities;
}

/**
 * Checks that the file has only one certificate, because the controller manager cannot sign with a file that has
 * several.
 */
function* signsAlone(pem: Pem, count: number): Findings {
  if (count <= 1) return;
  const what = `has ${count} certificates, but the controller manager can sign only with a file that has exactly one certificate`;
  const remedy =
    pem.file === "ca.pem"
      ? "keep one certificate in ca.pem, or create a signing CA: khw-client pki create --separate-signing-ca"
      : `keep only the certificate of ${pem.file.replace(".pem", "-key.pem")} in ${pem.file}`;
  yield problem(pem, undefined, { what, remedy });
}

/** Returns all names and addresses of the API server. */
export function servingNames({ controllers, publicAddress, serviceCidr }: Cluster): readonly WantedName[] {
  return [
    ...(publicAddress === undefined ? [] : [{ name: publicAddress, whose: "the public address" }]),
    ...controllers.map(({ name, internalIp }) => ({ name: internalIp, whose: name, controller: true })),
    { name: "127.0.0.1", whose: "the controllers themselves", controller: true },
    { name: serviceAddress(serviceCidr), whose: "the kubernetes service" },
    { name: healthCheckName, whose: "the health check's proxy" },
  ];
}

/** Returns all addresses of the etcd members. */
function memberNames({ controllers }: Cluster): readonly WantedName[] {
  const own = controllers.map(({ name, internalIp }) => ({ name: internalIp, whose: name, controller: true }));
  return [...own, { name: "127.0.0.1", whose: "the controllers themselves", controller: true }];
}

function* canServe(
  pem: Pem,
  server: Presented,
  { names, roots }: { readonly names: readonly WantedName[]; readonly roots: Trust["authorities"] },
): Findings {
  yield* validFor(pem, server.certificate, names);
  // The API server also presents this certificate to etcd and to the kubelets. The RBAC binding names its Common Name
  // as the user.
  yield* usable(pem, server, { usages: ["serverAuth", "clientAuth"], roots });
  yield* subjectIs(pem, server.certificate, { CN: "kubernetes" });
  if (server.intermediates.length > mostIntermediates) {
    const what = `has ${server.intermediates.length} intermediate certificates, but nginx follows at most ${mostIntermediates}`;
    yield problem(pem, undefined, {
      what,
      remedy: "remove the certificates that are not needed, or issue this certificate with a CA closer to the root",
    });
  }
}

/**
 * Checks that the private key belongs to a key in service-account.pem, which may contain several keys. If the file
 * contains a certificate, Kubernetes reads only the public key and ignores the issuer and the dates.
 */
function* serviceAccountPair(publicPem: Pem | undefined, privatePem: Pem | undefined): Findings {
  const makeAgain = "create it again, as in lab 04";
  const found = publicPem === undefined ? undefined : publicKeysIn(publicPem.content);
  if (publicPem !== undefined && found?.problem !== undefined) {
    yield problem(publicPem, undefined, { what: found.problem, remedy: found.remedy ?? makeAgain });
  }
  if (privatePem === undefined) return;
  const privateKey = yield* keyIn(privatePem, undefined, "service-account.pem");
  if (privateKey === undefined) return;
  const fault = keyProblem(privateKey, "tokens");
  if (fault !== undefined) return yield problem(privatePem, undefined, { what: fault, remedy: makeAgain });
  if (found?.value === undefined || found.value.some((publicKey) => isPair(privateKey, publicKey))) return;
  const [what, remedy] = ["is not the key of service-account.pem", "use the two files that were created together"];
  yield problem(privatePem, undefined, { what, remedy });
}
