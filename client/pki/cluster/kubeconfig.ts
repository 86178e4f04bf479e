import { stringify } from "yaml";
import type { Identity } from "../certificate.ts";
import { subjects, type Worker, workerSubject } from "../subjects.ts";

/** A kubeconfig of lab 05: NAME.kubeconfig, with the certificate NAME.pem. */
export interface LabKubeconfig {
  readonly name: string;
  /** The name of the user in the file; the same as the certificate's Common Name. */
  readonly user: string;
  /** Whether the file contains the loopback address or the public address of the API server. */
  readonly at: "loopback" | "public";
}

/**
 * Returns all kubeconfigs. Programs on a controller use that controller's API server; all other programs use the load
 * balancer.
 */
export function kubeconfigsOf({ workers }: { readonly workers: readonly Worker[] }): readonly LabKubeconfig[] {
  const lab = (["admin", "kube-controller-manager", "kube-proxy", "kube-scheduler"] as const).map((name) => ({
    name,
    user: subjects[name].CN,
    at: name === "kube-proxy" ? ("public" as const) : ("loopback" as const),
  }));
  return [...lab, ...workers.map(({ name }) => ({ name, user: workerSubject(name).CN, at: "public" as const }))];
}

/** The contents of a kubeconfig. */
export interface KubeconfigContent {
  /** The API server's URL, for example "https://127.0.0.1:6443". */
  readonly server: string;
  /** The cluster's name in the kubeconfig. */
  readonly cluster: string;
  readonly user: string;
  readonly context: string;
  /** The cluster's CA, in PEM. */
  readonly ca: string;
  readonly identity: Identity;
}

/**
 * Returns a kubeconfig of lab 05 with embedded certificates and key, as `kubectl config ... --embed-certs=true` writes
 * it.
 */
export function renderKubeconfig({ server, cluster, user, context, ca, identity }: KubeconfigContent): string {
  return stringify(
    {
      apiVersion: "v1",
      clusters: [{ cluster: { "certificate-authority-data": toBase64(ca), server }, name: cluster }],
      contexts: [{ context: { cluster, user }, name: context }],
      "current-context": context,
      kind: "Config",
      preferences: {},
      users: [
        {
          name: user,
          user: {
            "client-certificate-data": toBase64(identity.certificate),
            "client-key-data": toBase64(identity.key),
          },
        },
      ],
    },
    { lineWidth: 0 },
  );
}

function toBase64(text: string): string {
  return Buffer.from(text).toString("base64");
}
