import type { CaRotation } from "./folder.ts";
import type { CaKind } from "./kinds.ts";
import type { Outside } from "./outside.ts";
import type { Stage } from "./stage.ts";

const stages: Readonly<Record<Stage, string>> = {
  started: "the new CA exists, but nothing trusts it yet",
  trusted: "the nodes are getting both CAs; the old CA still signs",
  reissued: "the nodes are getting certificates from the new CA; both CAs are trusted",
  dropped: "the old CA is being dropped from the nodes",
};

/** Describes the stage of a rotation. */
export function describeStage(
  { stage, progress }: Pick<CaRotation, "stage" | "progress">,
  kind: CaKind = "cluster-ca",
): string {
  if (kind === "signing-ca" && stage === "reissued")
    return progress.reissuedSince === undefined
      ? "the controller managers are getting the new CA to sign with; both CAs are trusted"
      : `every controller manager has signed with the new CA since ${progress.reissuedSince}; the rotation is waiting for --drop-old`;
  if (stage === "trusted" && progress.trustedSince !== undefined)
    return `every controller has trusted both CAs since ${progress.trustedSince}; the old CA still signs; the rotation is waiting for --reissue`;
  if (stage === "reissued" && progress.reissuedSince !== undefined)
    return `every controller has had certificates from the new CA since ${progress.reissuedSince}; the rotation is waiting for --drop-old`;
  return stages[stage];
}

/** Describes the clients outside of khw that must trust both CAs before a server gets a certificate from the new CA. */
export function describeTrust({ nodes, workloads, objects }: Outside): string[] {
  return [
    "outside of khw: every kubeconfig and every other file with the old CA must get both CAs (the new ca.pem), or the program that uses the file can no longer verify the API servers",
    ...nodesLine(
      nodes,
      "the kubelet and kube-proxy need both CAs in their kubeconfigs and in the kubelet's clientCAFile",
    ),
    ...workloads.map(
      ({ namespace, kind, name, pods, why }) =>
        `restart: ${kind} ${namespace}/${name} (${pods} ${pods === 1 ? "pod" : "pods"}): ${why}, so it may trust only the old CA`,
    ),
    ...objectLines(objects),
  ];
}

/** Describes the programs outside of khw that must trust both signing CAs before the new CA signs. */
export function describeSigningTrust({ objects }: Pick<Outside, "objects">): string[] {
  return [
    "outside of khw: every program that verifies certificates from the signing CA, such as a metrics server that calls kubelets, must trust both CAs (the new signing-ca.pem), or it refuses the certificates that the new CA signs",
    ...objectLines(objects),
  ];
}

/** Describes the certificates outside of khw that no server will accept once the old CA is dropped. */
export function describeCertificates({ nodes, requests, objects }: Outside, foreign: readonly string[]): string[] {
  return [
    "outside of khw: every certificate from the old CA must be issued again, because no server accepts it after --drop-old. This includes certificates of people and other programs, and certificates that were issued through a CertificateSigningRequest",
    ...nodesLine(nodes, "the kubelet and kube-proxy need certificates from the new CA"),
    ...requests.map((name) => `CertificateSigningRequest ${name}: its certificate is signed by the old CA`),
    ...objects.map(({ name }) => `${name} has the old CA: its server needs a certificate from the new CA`),
    ...foreign.map((name) => `${name} in the credentials folder is signed by the old CA, and khw does not issue it`),
  ];
}

/** Describes the files and objects outside of khw that still contain the old CA. */
export function describeRest({ nodes, objects }: Outside): string[] {
  return [
    ...nodesLine(nodes, "remove the old CA from the kubelet's clientCAFile and the kubeconfigs"),
    ...objects.map(({ name }) => `${name} has the old CA: remove it`),
  ];
}

function objectLines(objects: Outside["objects"]): string[] {
  return objects.filter(({ hasNew }) => !hasNew).map(({ name }) => `${name} has only the old CA: add the new CA`);
}

function nodesLine(nodes: readonly string[], what: string): string[] {
  return nodes.length === 0 ? [] : [`nodes ${nodes.join(", ")}: ${what}`];
}
