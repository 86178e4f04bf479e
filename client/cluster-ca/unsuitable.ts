import { dirname, join, resolve } from "node:path";
import { type Component, components } from "../../proto/components.ts";
import { KhwError } from "../../proto/errors.ts";
import { refuseFindings } from "../cluster/combine-errors.ts";
import { isManaged } from "../config/desired.ts";
import type { ClusterConfig } from "../config/schema.ts";
import type { CaKind } from "./kinds.ts";

type FlagNames = Readonly<Partial<Record<Component, RegExp>>>;

/** Matches the controller manager's flags for CAs, including the flags for a single signer. */
const managerFlags = /^(?:root-ca-file|cluster-signing-(?:.+-)?(?:cert|key)-file)$/;

/** The flags that make a component read a different file from the one that a rotation changes. */
const caFlags: Readonly<Record<CaKind, FlagNames>> = {
  "cluster-ca": { "kube-controller-manager": managerFlags },
  "etcd-ca": { "kube-apiserver": /^etcd-(?:cafile|certfile|keyfile)$/ },
  "signing-ca": {
    "kube-controller-manager": managerFlags,
    "kube-apiserver": /^(?:client-ca-file|kubelet-certificate-authority)$/,
  },
};

/** @throws KhwError INVALID_ARGUMENT for a cluster whose CA khw cannot replace */
export function refuseUnsuitable(
  config: Pick<ClusterConfig, "cluster" | "credentials" | "etcd" | "kubernetes">,
  kind: CaKind = "cluster-ca",
): void {
  const { folder, adminKubeconfig } = config.credentials;
  const reasons = [
    ...(isManaged(config) || kind === "signing-ca"
      ? []
      : [
          new KhwError(
            "INVALID_ARGUMENT",
            "khw does not manage etcd here, so it cannot restart the members with both CAs",
            { hint: "replace the CA by hand; docs/rotations.md lists the order of the steps" },
          ),
        ]),
    ...(kind !== "cluster-ca" || adminKubeconfig === undefined || resolve(dirname(adminKubeconfig)) === resolve(folder)
      ? []
      : [
          new KhwError("INVALID_ARGUMENT", `${adminKubeconfig} is not in ${folder}, where khw replaces certificates`, {
            hint: `cp ${adminKubeconfig} ${join(folder, "admin.kubeconfig")}, and remove credentials.adminKubeconfig from khw.yaml`,
          }),
        ]),
    ...components.flatMap((component) =>
      Object.keys(config.kubernetes.flags[component])
        .filter((flag) => caFlags[kind][component]?.test(flag) === true)
        .map(
          (flag) =>
            new KhwError(
              "INVALID_ARGUMENT",
              `kubernetes.flags.${component}.${flag} refers to a file of yours, but khw replaces the CA only in its own files`,
              {
                hint: `remove ${flag} from kubernetes.flags.${component} in khw.yaml, and run khw-client bootstrap; or replace the CA by hand, see docs/rotations.md`,
              },
            ),
        ),
    ),
  ];
  refuseFindings(reasons, "nothing was changed");
}
