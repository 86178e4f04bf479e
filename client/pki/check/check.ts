import type { X509Certificate } from "node:crypto";
import type { CredentialName } from "../../../proto/components.ts";
import type { Controller } from "../../../proto/desired.ts";
import { serviceAddress } from "../cluster/certificates.ts";
import {
  authoritiesIn,
  certificateIn,
  keyIn,
  type Pem,
  subjectIs,
  type Trust,
  usable,
  validFor,
  type WantedName,
} from "./certificate.ts";
import { encryptionConfigIsSound } from "./encryption-config.ts";
import { clientIn } from "./client.ts";
import type { Kubeconfig } from "./kubeconfig.ts";
import { isPair, readPrivateKey, readPublicKey } from "./pem.ts";
import type { Findings } from "./problem.ts";

/** A file that was read; those that could not be are problems already. */
export type Files = ReadonlyMap<CredentialName | "admin.kubeconfig", Uint8Array>;

/** The cluster that the credentials must fit. */
export interface Cluster {
  readonly controllers: readonly Controller[];
  /** Undefined where it is not known: then nothing is said about it. */
  readonly publicAddress: string | undefined;
  readonly serviceCidr: string;
  readonly kubernetesVersion: string;
}

/** nginx verifies the API server by it: see the agent's site for the health check. */
const healthCheckName = "kubernetes.default.svc";

/** Everything in the files that would keep the cluster from working; returns the admin's kubeconfig where it can be read. */
export function* checkCredentials(files: Files, cluster: Cluster, now: Date): Findings<Kubeconfig | undefined> {
  const pem = (file: CredentialName): Pem | undefined => {
    const content = files.get(file);
    return content === undefined ? undefined : { file, content };
  };
  const ca = pem("ca.pem");
  const authorities = ca === undefined ? [] : yield* authoritiesIn(ca, now);
  const trust: Trust = { authorities, now };
  const caKey = pem("ca-key.pem");
  if (caKey !== undefined) yield* keyIn(caKey, authorities[0], "ca.pem");
  yield* signingAuthority(pem("signing-ca.pem"), pem("signing-ca-key.pem"), now);

  const serving = pem("kubernetes.pem");
  const server = serving === undefined ? undefined : yield* certificateIn(serving, trust);
  const names = servingNames(cluster);
  if (serving !== undefined && server !== undefined) yield* canServe(serving, server, names);
  const servingKey = pem("kubernetes-key.pem");
  if (servingKey !== undefined) yield* keyIn(servingKey, server, "kubernetes.pem");

  yield* serviceAccountPair(pem("service-account.pem"), pem("service-account-key.pem"));
  const encryption = files.get("encryption-config.yaml");
  if (encryption !== undefined)
    yield* encryptionConfigIsSound("encryption-config.yaml", encryption, cluster.kubernetesVersion);

  const context = { trust, server, names };
  for (const component of ["kube-controller-manager", "kube-scheduler"] as const) {
    const file = `${component}.kubeconfig` as const;
    yield* clientIn(file, files.get(file), { ...context, subject: { CN: `system:${component}` } });
  }
  const admin = { ...context, subject: { O: "system:masters" } };
  return yield* clientIn("admin.kubeconfig", files.get("admin.kubeconfig"), admin);
}

/** The authority of what Kubernetes itself signs, where it has one of its own. */
function* signingAuthority(certificate: Pem | undefined, key: Pem | undefined, now: Date): Findings {
  const authorities = certificate === undefined ? [] : yield* authoritiesIn(certificate, now);
  if (key !== undefined) yield* keyIn(key, authorities[0], "signing-ca.pem");
}

/** All names that the API server is called by. */
export function servingNames({ controllers, publicAddress, serviceCidr }: Cluster): readonly WantedName[] {
  return [
    ...(publicAddress === undefined ? [] : [{ name: publicAddress, whose: "the public address" }]),
    ...controllers.map(({ name, internalIp }) => ({ name: internalIp, whose: name })),
    { name: "127.0.0.1", whose: "the controllers' own way to it" },
    { name: serviceAddress(serviceCidr), whose: "the service kubernetes" },
    { name: healthCheckName, whose: "the health check's proxy" },
  ];
}

function* canServe(pem: Pem, certificate: X509Certificate, names: readonly WantedName[]): Findings {
  yield* validFor(pem, certificate, names);
  // The API server shows it to etcd and to the kubelets, too: as the user that RBAC's binding names.
  yield* usable(pem, certificate, ["serverAuth", "clientAuth"]);
  yield* subjectIs(pem, certificate, { CN: "kubernetes" });
}

/**
 * The two are a pair. Of the certificate, where it is one, Kubernetes takes nothing but the public key: its issuer and its
 * dates do not matter.
 */
function* serviceAccountPair(publicPem: Pem | undefined, privatePem: Pem | undefined): Findings {
  const publicKey = publicPem === undefined ? undefined : readPublicKey(publicPem.content);
  if (publicPem !== undefined && publicKey === undefined) {
    yield {
      file: publicPem.file,
      what: "is neither a certificate nor a public key in PEM",
      remedy: "make it again, as in lab 04",
    };
  }
  if (privatePem === undefined) return;
  yield* keyIn(privatePem, undefined, "service-account.pem");
  const privateKey = readPrivateKey(privatePem.content);
  if (publicKey === undefined || privateKey === undefined || isPair(privateKey, publicKey)) return;
  yield {
    file: privatePem.file,
    what: "is not the key of service-account.pem",
    remedy: "take both from the same issue",
  };
}
